"""`qlib-shadow show`: print one run with its metadata, metrics, files and logs."""

from __future__ import annotations

import fnmatch
import json
from itertools import chain
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import (
    METRICS_FILE,
    MLRUNS,
    REPORT_FILE,
    SIGNALS_STEM,
    STDERR_FILE,
    STDOUT_FILE,
    SUMMARY_FILE,
    WORKFLOW_FILE,
    ExitCode,
)
from qlib_shadow_runner.printing import NOTHING, print_json, print_lines
from qlib_shadow_runner.runs.listing import ListedRun, find_run
from qlib_shadow_runner.storage.untrusted import names_in
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WIDTH: Final = 28
FILES: Final = {
    "workflow": WORKFLOW_FILE,
    "signals": f"{SIGNALS_STEM}.*",
    "metrics": METRICS_FILE,
    "summary": SUMMARY_FILE,
    "report": REPORT_FILE,
    "mlruns": MLRUNS,
    "stdout": STDOUT_FILE,
    "stderr": STDERR_FILE,
}
"""The files that a run may have, by the names that are printed for them."""


def print_run(run: str, data: Path, *, as_json: bool) -> int:
    """Print everything about one run."""
    found = find_run(data, run)
    if as_json:
        print_json(document(found))
    else:
        print_lines(_lines(found))
    return ExitCode.DONE


def document(run: ListedRun) -> dict[str, object]:
    """Return what the JSON output says of one run."""
    return {
        "folder": str(run.folder),
        "size": run.size,
        "metadata": run.metadata,
        "metrics": run.left("metrics") or {},
        "messages": _messages(run),
        "damage": run.damage,
        "files": _files(run),
    }


def _lines(run: ListedRun) -> list[str]:
    plain = {key: _as_text(value) for key, value in run.metadata.items()}
    metrics = run.left("metrics")
    figures = {key: _as_text(value) for key, value in metrics.items()} if isinstance(metrics, dict) else {}
    title = f"{run.folder}  {run.status}  {format_size(run.size)}"
    damage = {"damage": run.damage} if run.damage else {}
    parts = {title: {**damage, **_messages(run)}, "metadata": plain, "metrics": figures, "files": _files(run)}
    return list(chain.from_iterable(_part(head, pairs) for head, pairs in parts.items() if pairs))[1:]


def _part(head: str, pairs: Mapping[str, str]) -> list[str]:
    return ["", head, *(f"  {key:<{WIDTH}} {value}" for key, value in pairs.items())]


def _messages(run: ListedRun) -> dict[str, str]:
    """Return the reason and message that each stage ended with."""
    results = {str(stage): run.result(stage) for stage in run.stages}
    return {
        name: f"{found.get('reason')}: {found.get('message')}" for name, found in results.items() if found
    }


def _files(run: ListedRun) -> dict[str, str]:
    try:
        there = names_in(run.folder)
    except OSError:  # this user may not read it, which the run's damage says
        there = []
    found = {name: fnmatch.filter(there, pattern) for name, pattern in FILES.items()}
    return {name: str(run.folder / names[0]) for name, names in found.items() if names}


def _as_text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return NOTHING if value is None else str(value)

"""`qlib-shadow runs`: list the runs, newest first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import ExitCode, Metrics
from qlib_shadow_runner.printing import NOTHING, print_json, print_line, print_table
from qlib_shadow_runner.runs.listing import LONG_AGO, ListedRun, all_runs, existing_volume
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HEADS: Final = ("RUN", "STATUS", "DATASET END", "IC", "ANN. RETURN", "STARTED (UTC)", "SIZE")
SHOWN: Final = ("ic", "annualizedReturn")


def print_runs(data: Path, sort: str, *, as_json: bool) -> int:
    """Print one line for each run, or as JSON one object for each."""
    runs = _sorted(all_runs(existing_volume(data)), sort)
    more = sort if sort in Metrics.__annotations__ and sort not in SHOWN else None
    if as_json:
        print_json([{**document(run), **({more: run.metric(more)} if more else {})} for run in runs])
    elif not runs:
        print_line(f"there are no runs in {data}")
    else:
        rows = [HEADS, *map(_row, runs)]
        if more:
            rows = [[*row[:-2], cell, *row[-2:]] for row, cell in zip(rows, _column(runs, more), strict=True)]
        print_table(rows)
    return ExitCode.DONE


def _sorted(runs: list[ListedRun], sort: str) -> list[ListedRun]:
    """Return the best runs first and those without the figure last; equal ones stay newest first."""

    def figure(run: ListedRun) -> float:
        found = run.size if sort == "size" else run.metric(sort)
        return -math.inf if found is None else found

    return runs if sort == "started" else sorted(runs, key=figure, reverse=True)


def _column(runs: Sequence[ListedRun], name: str) -> list[str]:
    found = [run.metric(name) for run in runs]
    return [name.upper(), *(NOTHING if value is None else f"{value:.4f}" for value in found)]


def document(run: ListedRun) -> dict[str, object]:
    """Return what the JSON output says of one run."""
    return {
        "runId": run.run_id,
        "status": run.status,
        "datasetEnd": run.metadata.get("dataset_end"),
        "ic": run.metric("ic"),
        "annualizedReturn": run.metric("annualizedReturn"),
        "startedAt": run.metadata.get("started_at_utc"),
        "size": run.size,
        "folder": str(run.folder),
    }


def _row(run: ListedRun) -> Sequence[str]:
    ic, annual = run.metric("ic"), run.metric("annualizedReturn")
    return (
        run.run_id,
        run.status,
        str(run.metadata.get("dataset_end") or NOTHING),
        NOTHING if ic is None else f"{ic:.3f}",
        NOTHING if annual is None else f"{annual:.1%}",
        NOTHING if run.started == LONG_AGO else f"{run.started:%Y-%m-%d %H:%M}",
        format_size(run.size),
    )

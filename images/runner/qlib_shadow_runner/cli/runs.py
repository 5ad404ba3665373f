"""`qlib-shadow runs`: list the runs, newest first."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import ExitCode, Metrics, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import NOTHING, print_json, print_line, print_table
from qlib_shadow_runner.runs.listing import (
    LONG_AGO,
    STATUS_DOWNLOADED,
    ListedRun,
    all_runs,
    existing_volume,
)
from qlib_shadow_runner.texts import did_you_mean, format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

HEADS: Final = ("RUN", "STATUS", "DATASET END", "IC", "ANN. RETURN", "STARTED (UTC)", "SIZE")
SHOWN: Final = ("ic", "annualizedReturn")
TITLES: Final = {
    "maxDrawdown": "drawdown of summed excess",
    "maxDrawdownWithoutCost": "drawdown of summed excess without cost",
}
"""What a column is called where the name of its metric says too little."""


def print_runs(
    data: Path,
    sort: str,
    status: Sequence[str] | None,
    since: str | None,
    column: Sequence[str] | None,
    *,
    as_json: bool,
) -> int:
    """Print one line for each run, or as JSON one object for each."""
    wanted, start = frozenset(status or ()), _start(since, datetime.now(UTC))
    there = all_runs(existing_volume(data))
    runs = _sorted([run for run in there if _is_listed(run, wanted) and run.started >= start], sort)
    more = [_metric_column(runs, sort)] if sort in Metrics.__annotations__ and sort not in SHOWN else []
    if column:
        more += setting_columns(runs, column)
    if as_json:
        print_json([_document_with(run, place, more) for place, run in enumerate(runs)])
    elif not runs:
        print_line(_nothing(data, there))
    else:
        rows = [list(row) for row in (HEADS, *map(_row, runs))]
        for found in more:
            cells = [TITLES.get(found.name, found.name).upper(), *map(found.show, found.values)]
            rows = [[*row[:-2], cell, *row[-2:]] for row, cell in zip(rows, cells, strict=True)]
        if any(run.damage for run in runs):
            rows = [[*row, cell] for row, cell in zip(rows, _damages(runs), strict=True)]
        print_table(rows)
    return ExitCode.DONE


def _is_listed(run: ListedRun, wanted: frozenset[str]) -> bool:
    """Return whether a run has a wanted status; a mere download must be asked for."""
    return run.status in wanted if wanted else run.status != STATUS_DOWNLOADED


def _start(since: str | None, now: datetime) -> datetime:
    """Return the moment since which runs are listed."""
    if since is None:
        return LONG_AGO
    days = re.fullmatch(r"(\d{1,5})d", since, re.ASCII)
    try:
        return (
            now - timedelta(days=int(days[1])) if days else datetime.fromisoformat(since).replace(tzinfo=UTC)
        )
    except (ValueError, OverflowError):
        raise StageError(
            Reason.INVALID_SPEC,
            f'--since "{since[:40]}" is neither a day nor a number of days; write 2026-11-20, or 7d',
        ) from None


def _nothing(data: Path, there: Sequence[ListedRun]) -> str:
    """Return the sentence for an empty list, with what there is besides."""
    if not there:
        return f"there are no runs in {data}"
    downloads = sum(run.status == STATUS_DOWNLOADED for run in there)
    if downloads == len(there):
        return f"there are no runs in {data}, but {downloads} downloads: qlib-shadow runs --status downloaded"
    return f"none of the {len(there) - downloads} runs in {data} is of this status and time"


@dataclass(frozen=True)
class Column:
    """A column that was asked for."""

    name: str
    values: Sequence[object]
    show: Callable[[object], str]


def _metric_column(runs: Sequence[ListedRun], name: str) -> Column:
    values = [run.metric(name) for run in runs]
    return Column(name, values, lambda value: NOTHING if value is None else f"{value:.4f}")


def setting_columns(runs: Sequence[ListedRun], names: Sequence[str]) -> list[Column]:
    """Return a column for each name; one that no run has is refused with the nearest name."""
    from qlib_shadow_runner.report.settings import find_setting, settings_of  # noqa: PLC0415 - loads ruamel

    settings = [settings_of(run.folder, run.metadata) for run in runs]
    found = []
    for name in names:
        values = [find_setting(one, name) for one in settings]
        if runs and all(value is None for value in values):
            known = {key.rpartition(".")[2] for one in settings for key in one} | {*settings[0]}
            raise StageError(
                Reason.INVALID_SPEC, f'no run has a setting "{name[:60]}"; {did_you_mean(name, known)}'
            )
        found.append(Column(name, values, lambda value: NOTHING if value is None else str(value)))
    return found


def _document_with(run: ListedRun, place: int, more: Sequence[Column]) -> dict[str, object]:
    return {**document(run), **{column.name: column.values[place] for column in more}}


def _sorted(runs: list[ListedRun], sort: str) -> list[ListedRun]:
    """Return the best runs first and those without the figure last; equal ones stay newest first."""

    def figure(run: ListedRun) -> float:
        found = run.size if sort == "size" else run.metric(sort)
        return -math.inf if found is None else found

    return runs if sort == "started" else sorted(runs, key=figure, reverse=True)


def _damages(runs: Sequence[ListedRun]) -> list[str]:
    return ["DAMAGE", *(run.damage or "" for run in runs)]


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
        "damage": run.damage,
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

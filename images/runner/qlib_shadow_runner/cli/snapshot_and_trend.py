"""`qlib-shadow snapshot` and `qlib-shadow trend`: the day and the last weeks, for those who read mail."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.catalog.books import all_overviews
from qlib_shadow_runner.catalog.update import read_catalog
from qlib_shadow_runner.cli.amounts import count
from qlib_shadow_runner.cli.report import require_writable_file
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.contract.escapes import in_json, in_lines
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.nights.books import Books
from qlib_shadow_runner.nights.documents import snapshot_document, trend_document
from qlib_shadow_runner.nights.markdown import snapshot_page, trend_page
from qlib_shadow_runner.nights.morning import Morning
from qlib_shadow_runner.nights.trend import monday_of
from qlib_shadow_runner.printing import print_json, print_text
from qlib_shadow_runner.runs.listing import existing_volume
from qlib_shadow_runner.storage.files import write_atomically
from qlib_shadow_runner.texts import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

MOST_WEEKS: Final = 52


def print_snapshot(data: Path, series: str | None, out: Path | None, *, as_json: bool) -> int:
    """Print how last night went."""
    morning = _morning(data, series, out)
    books = _books(data, morning, series)
    _give(snapshot_document(morning, books) if as_json else snapshot_page(morning, books), out)
    return ExitCode.DONE


def print_trend(data: Path, series: str | None, weeks: str, out: Path | None, *, as_json: bool) -> int:
    """Print how the last weeks went, of the series with a run in them."""
    number = count(weeks, "--weeks") or 0
    if not 1 <= number <= MOST_WEEKS:
        raise StageError(
            Reason.INVALID_SPEC, f'--weeks must be a whole number from 1 to {MOST_WEEKS}, not "{weeks}"'
        )
    morning = _morning(data, series, out)
    first = monday_of(morning.now.date()).toordinal() - 7 * (number - 1)
    shown = [
        one
        for one in morning.series
        if one.last["started_at"] and one.last["started_at"].toordinal() >= first
    ]
    books = _books(data, morning, series)
    page = trend_document(shown, number, books) if as_json else trend_page(shown, number, books)
    _give(page, out)
    return ExitCode.DONE


def _morning(data: Path, series: str | None, out: Path | None) -> Morning:
    """Return the facts, of one series where one is named; refuse a file before the work."""
    volume = existing_volume(data)
    if out is not None:
        require_writable_file(out)
    catalog = read_catalog(volume)
    morning = Morning.of(catalog.runs, catalog.followup, datetime.now(UTC).replace(tzinfo=None))
    if series is None:
        return morning
    found = [one for one in morning.series if one.series.is_called(series)]
    if not found:
        names = {one.series.name for one in morning.series}
        hint = did_you_mean(series, names) if names else "there are no runs"
        raise StageError(Reason.INVALID_SPEC, f'there is no series "{series[:80]}" in {data}; {hint}')
    ours = {run["run_id"] for one in found for run in one.runs}
    return replace(
        morning, series=found, last_night=[run for run in morning.last_night if run["run_id"] in ours]
    )


def _books(data: Path, morning: Morning, series: str | None) -> Books:
    """Return the books; none where one series is asked for, since a book is of no series."""
    if series is not None:
        return Books(morning.now)
    faults: dict[Path, str] = {}
    found = all_overviews(existing_volume(data), faults)
    return Books(morning.now, found, next(iter(faults.values()), None))


def _give(answer: object, out: Path | None) -> None:
    """Print a page or a JSON document, or write it to the file."""
    if isinstance(answer, str):
        if out is None:
            print_text(answer)
        else:
            write_atomically(out, in_lines(answer).encode())
    elif out is None:
        print_json(answer)
    else:
        text = in_json(json.dumps(answer, indent=2, ensure_ascii=False, default=str))
        write_atomically(out, text.encode() + b"\n")

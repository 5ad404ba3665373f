"""`qlib-shadow followup`: how past signals did, for days that their runs had no data of."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.catalog.track_record import TrackRecord, records
from qlib_shadow_runner.catalog.update import update
from qlib_shadow_runner.contract import ExitCode
from qlib_shadow_runner.printing import NOTHING, print_json, print_line, print_table
from qlib_shadow_runner.runs.listing import existing_volume

if TYPE_CHECKING:
    from pathlib import Path

HEADS: Final = ("HORIZON", "DAYS", "IC", "RANK IC", "IC > 0", "BEST", "ALL", "KNOWN UP TO", "DATASET")


def print_followup(data: Path, *, as_json: bool) -> int:
    """Score the signals whose outcome newer data shows, and print the track record."""
    found = records(update(existing_volume(data)).followup)
    if as_json:
        print_json([{**asdict(record), "ic": record.ic, "rank_ic": record.rank_ic} for record in found])
    elif not found:
        print_line(
            f"no outcome of the signals in {data} is known yet: "
            "that needs data that ends later than the data of a run"
        )
    else:
        print_table([HEADS, *map(_row, found)])
    return ExitCode.DONE


def _row(record: TrackRecord) -> tuple[str, ...]:
    return (
        f"{record.horizon}d",
        str(len(record.days)),
        _figure(record.ic, ".3f"),
        _figure(record.rank_ic, ".3f"),
        _figure(record.positive, ".0%"),
        _figure(record.top_return, ".2%"),
        _figure(record.all_return, ".2%"),
        str(record.days[-1].known_on),
        record.dataset_path,
    )


def _figure(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)

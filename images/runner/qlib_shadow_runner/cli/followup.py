"""`qlib-shadow followup`: how past signals did, for days that their runs had no data of."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.analysis.chance import FEWEST_BLOCKS
from qlib_shadow_runner.catalog.followup import not_judged
from qlib_shadow_runner.catalog.track_record import TrackRecord, records
from qlib_shadow_runner.catalog.update import update
from qlib_shadow_runner.contract import ExitCode
from qlib_shadow_runner.printing import NOTHING, print_error, print_json, print_line, print_table
from qlib_shadow_runner.runs.listing import existing_volume

if TYPE_CHECKING:
    from pathlib import Path

HEADS: Final = (
    "HORIZON",
    "DAYS",
    "IC",
    "T",
    "BLOCKS",
    "RANK IC",
    "IC > 0",
    "BEST",
    "ALL",
    "KNOWN UP TO",
    "DATASET",
    "FROM",
)

REMEDY: Final = "Give the data of each market a spec.dataset.path of its own, so that both stay."


def print_followup(data: Path, *, as_json: bool) -> int:
    """Score the signals whose outcome newer data shows, and print the track record."""
    volume = existing_volume(data)
    catalog = update(volume)
    found = records(catalog.followup)
    if as_json:
        print_json([_document(record) for record in found])
    elif not found:
        print_line(
            f"no outcome of the signals in {data} is known yet: "
            "that needs data that ends later than the data of a run"
        )
    else:
        print_table([HEADS, *map(_row, found)])
        if any(record.chance and record.chance.blocks < FEWEST_BLOCKS for record in found):
            print_line(f"T needs {FEWEST_BLOCKS} blocks: days whose outcomes do not overlap")
    for run_id, why in not_judged(volume, catalog.runs, catalog.followup).items():
        print_error(f"note: the signals of {run_id} are not judged: {why}. {REMEDY}")
    return ExitCode.DONE


def _document(record: TrackRecord) -> dict[str, object]:
    chance = record.chance
    held = {"ic_t": chance.t, "ic_p": chance.p, "ic_blocks": chance.blocks} if chance else {}
    return {**asdict(record), "ic": record.ic, "rank_ic": record.rank_ic, **held}


def _row(record: TrackRecord) -> tuple[str, ...]:
    return (
        f"{record.horizon}d",
        str(len(record.days)),
        _figure(record.ic, ".3f"),
        _figure(record.chance.t if record.chance else None, ".1f"),
        str(record.chance.blocks if record.chance else NOTHING),
        _figure(record.rank_ic, ".3f"),
        _figure(record.positive, ".0%"),
        _figure(record.top_return, ".2%"),
        _figure(record.all_return, ".2%"),
        str(record.days[-1].known_on),
        record.dataset_path,
        record.feed or NOTHING,
    )


def _figure(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)

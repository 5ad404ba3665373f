"""`qlib-shadow ledger diff`: why the paper account and tonight's backtest of the same days differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.cli.ledger_show import overview_of
from qlib_shadow_runner.cli.ledger_texts import change, paragraph
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.documents import MEANS
from qlib_shadow_runner.printing import print_json, print_line, print_lines, print_table
from qlib_shadow_runner.runs.listing import find_run
from qlib_shadow_runner.stages.ledger_tracking import newest_run_of, track_run

if TYPE_CHECKING:
    from qlib_shadow_runner.cli.ledger_command import Asked
    from qlib_shadow_runner.runs.listing import ListedRun


def print_difference(asked: Asked) -> int:
    """Print the difference of the returns, and its parts, which add up to it."""
    folder = asked.folder()
    overview_of(folder)  # a damaged book ends here
    run = _run(asked, folder.name)
    found = track_run(folder, run, asked.volume)
    if found is None:
        raise StageError(
            Reason.INVALID_SPEC,
            f"{folder.name} and the backtest of {run.run_id} have no two days in common; compare again after "
            "the next night, or name a run that reaches further",
        )
    last = found.by_day[-1]
    beyond = None if found.band is None else abs(found.total) > found.band
    if asked.as_json:
        print_json(
            {
                "book": folder.name,
                "runId": run.run_id,
                "from": found.by_day[0]["day"],
                "to": last["day"],
                "days": len(found.by_day),
                "paper": last["paper"],
                "backtest": last["backtest"],
                "total": found.total,
                "parts": dict(found.parts),
                "band": found.band,
                "beyond": beyond,
                "byDay": [dict(one) for one in found.by_day],
            }
        )
        return ExitCode.DONE
    print_line(
        f"{folder.name} against the backtest of {run.run_id}, {len(found.by_day)} days to {last['day']}"
    )
    rows = [
        ("paper account", change(last["paper"], 3), ""),
        ("backtest", change(last["backtest"], 3), ""),
        ("difference", change(found.total, 3), _band(found.band, beyond=beyond)),
        *((f"  {name}", change(part, 3), MEANS[name]) for name, part in found.parts.items()),
    ]
    print_table(rows, {1})
    print_lines(paragraph("", "The parts add up to the difference."))
    return ExitCode.DONE


def _band(band: float | None, *, beyond: bool | None) -> str:
    if band is None:
        return "too few days for a band"
    return f"{'beyond' if beyond else 'within'} the band of {band:.3%} on both sides"


def _run(asked: Asked, book: str) -> ListedRun:
    """Return the run that was named, or the newest complete one of the book."""
    if asked.run is not None:
        return find_run(asked.data, asked.run)
    found = newest_run_of(asked.volume, book)
    if found is None:
        raise StageError(
            Reason.INVALID_SPEC, f"no complete run of the book {book} is in {asked.data}; name one after it"
        )
    return found

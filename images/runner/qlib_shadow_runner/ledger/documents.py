"""What is read of a book as JSON: the command line and the web pages give the same documents."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.escapes import shorten
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.orders import without_rounding
from qlib_shadow_runner.ledger.record import drawdowns
from qlib_shadow_runner.ledger.weeks import weeks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from qlib_shadow_runner.ledger.chain import Chain
    from qlib_shadow_runner.ledger.check import Checked
    from qlib_shadow_runner.ledger.overview import Overview

ORDERS: Final = ("day", "decision", "late", "gates", "targets", "orders", "figures")
"""What is told of a decision with its orders."""
MEANS: Final = {
    "data": "prices that were restated since",
    "timing": "late, held and missed nights, and the price of fills",
    "costs": "other costs, lots and price limits",
    "rules": "another strategy, carried orders, delisted holdings",
    "signals": "signals of refitted models, not of the evaluated one",
    "start": "other positions and other money at the beginning",
}
"""What makes each part of the difference from a backtest."""


def orders_document(chain: Chain, day: str | None) -> dict[str, Any]:
    """Return the orders of a day, the last unless another is named, and what they came to."""
    decisions = {str(one.day): one for one in chain.decisions}
    found = decisions[chosen_day(chain.book["book"], day, decisions, "decided nothing")].document
    fills = fills_of(chain, str(found["day"]))
    came_to = [fills[one["id"]] for one in found["orders"] if one["id"] in fills]
    return {name: found[name] for name in ORDERS} | {"fills": came_to}


def positions_document(chain: Chain, day: str | None) -> dict[str, Any]:
    """Return the account at the end of a day, the last unless another is named.

    Raw shares, which are amount times factor, are whole where they are so but for rounding.
    """
    entries = {str(one.day): one for one in chain.entries}
    found = chosen_day(chain.book["book"], day, entries, "has no account")
    account = entries[found].document["account"]
    positions = [{**one, "shares": without_rounding(one["shares"])} for one in account["positions"]]
    return {"day": found, **account, "positions": positions}


def nav_document(overview: Overview) -> list[dict[str, Any]]:
    """Return the account's value day by day."""
    losses = drawdowns(overview.capital or 0.0, overview.days)
    return [
        {**vars(day), "turnover": day.turnover, "drawdown": loss}
        for day, loss in zip(overview.days, losses, strict=True)
    ]


def trend_document(overview: Overview, weeks: int) -> list[dict[str, Any]]:
    """Return the last weeks, the newest first."""
    return [week.document() for week in weeks_of(overview, weeks)]


def list_document(overviews: Sequence[Overview], total: Mapping[str, Any]) -> dict[str, Any]:
    """Return all books and the sums over them."""
    return {"books": [one.document() for one in overviews], "total": total}


def verification_document(
    overview: Overview, checked: Checked, head: str | None, prices: Path | None
) -> dict[str, Any]:
    """Return whether a book holds: against which head, and against the prices of which folder.

    `ofData` is no damage: the data is another version now than on the night. Entries whose own data is still
    there are `exact`; the others are held to their recorded prices, and to those of the folder.
    """
    return {
        "book": overview.book,
        "sound": not checked.findings,
        "newer": checked.is_newer,
        "findings": list(checked.findings),
        "ofData": list(checked.of_data),
        "ofDataCount": checked.of_data_count,
        "exact": checked.exact,
        "head": overview.head,
        "headGiven": head,
        "entries": overview.entries,
        "prices": None if prices is None else str(prices),
    }


def fills_of(chain: Chain, day: str) -> dict[str, Mapping[str, Any]]:
    """Return the last fill of each order that was decided on a day, by the ids of the orders."""
    due = (one.document for one in chain.fills if one.brief["decision"] == day)
    return {fill["order"]: fill for document in due for fill in document["fills"]}


def chosen_day(book: str, day: str | None, known: Iterable[str], lacks: str) -> str:
    """Return the day that was named, or the last; one that there is not is refused with the last."""
    last = max(known, default=None)
    if last is None:
        raise StageError(Reason.INVALID_SPEC, f"nothing is decided yet in {book}")
    if day is None:
        return last
    try:
        found = f"{date.fromisoformat(day)}"
    except ValueError:
        raise StageError(
            Reason.INVALID_SPEC, f'the day must be one such as {last}, not "{shorten(day, 80)}"'
        ) from None
    if found not in set(known):
        raise StageError(Reason.INVALID_SPEC, f"{book} {lacks} on {found}; the last day is {last}")
    return found

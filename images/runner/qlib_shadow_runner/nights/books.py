"""What needs a person in the books of a volume, from their overviews: the most urgent first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.ledger.overview import State
from qlib_shadow_runner.nights.morning import RESTING, weekdays_between
from qlib_shadow_runner.texts import one_line, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qlib_shadow_runner.ledger.overview import Overview

LATE_WEEKDAYS: Final = 4
"""A book whose last decision was recorded more weekdays ago waits for one: fewer are holidays."""
NAMED: Final = 5
"""Missed days that a sentence names, the last ones."""
SENTENCE_MAX: Final = 600


def needs_of_book(book: Overview, now: datetime) -> list[tuple[str, str]]:
    """Return kind and sentence of each need of one book, the most urgent first."""
    if rests(book, now):
        return []
    found = ((kind, find(book, now)) for kind, find in FIND.items())
    return [(kind, one_line(sentence, SENTENCE_MAX)) for kind, sentence in found if sentence]


def rests(book: Overview, now: datetime) -> bool:
    """Return whether nothing was recorded for so long that nothing is expected, as of a series."""
    recorded = recorded_at(book)
    return not book.is_damaged and (recorded is None or now - recorded > RESTING)


def recorded_at(book: Overview) -> datetime | None:
    """Return when the last decision was recorded, in UTC without a time zone as the catalog has times."""
    try:
        moment = datetime.fromisoformat(book.recorded_at or "")
    except ValueError:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _state(state: State) -> Callable[[Overview, datetime], str | None]:
    def find(book: Overview, now: datetime) -> str | None:
        del now
        return book.sentence if book.state is state else None

    return find


def _late(book: Overview, now: datetime) -> str | None:
    del now
    if not book.late:
        return None
    return f"the decision of {book.decided} was recorded too late, and its orders are never filled"


def _missed(book: Overview, now: datetime) -> str | None:
    """Return the nights that were missed before the last decision."""
    del now
    before = sorted(book.decisions)[-2:-1]
    days = [day for day in book.missed_days if before and day > before[0]]
    if not days:
        return None
    nights = f"{len(days)} night{'s' * (len(days) != 1)}"
    return f"{nights} before {book.decided} {'was' if len(days) == 1 else 'were'} missed: {_listed(days)}"


def _no_decision(book: Overview, now: datetime) -> str | None:
    recorded = recorded_at(book)
    passed = weekdays_between(recorded.date(), now.date()) if recorded else 0
    if passed <= LATE_WEEKDAYS:
        return None
    return f"no decision was recorded in the last {passed} weekdays; the last is of {book.decided}"


def _beyond(book: Overview, now: datetime) -> str | None:
    """Return that the account has earned less than the promise's band; more than that is no need."""
    del now
    promise = book.record.promise
    if not book.record.is_beyond or promise[-1].account >= promise[-1].low:
        return None
    last = promise[-1]
    return (
        f"its daily returns add up to {percent(last.account)}; the backtest promised "
        f"{percent(last.expected)}, with a band from {percent(last.low)}"
    )


def _listed(days: Sequence[str]) -> str:
    more = len(days) - NAMED
    return ", ".join(days[-NAMED:]) + (f" and {more} before" if more > 0 else "")


FIND: Final[Mapping[str, Callable[[Overview, datetime], str | None]]] = {
    "damaged": _state(State.DAMAGED),
    "halted": _state(State.HALTED),
    "held": _state(State.HELD),
    "reducing": _state(State.REDUCING),
    "late": _late,
    "missed": _missed,
    "no decision": _no_decision,
    "beyond promise": _beyond,
}

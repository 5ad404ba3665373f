"""What the day and the last weeks say of books: the state of each, and what of it needs a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import LOCAL_NAMESPACE
from qlib_shadow_runner.ledger.overview import State, when
from qlib_shadow_runner.ledger.weeks import last_monday, weeks_of
from qlib_shadow_runner.nights.morning import RESTING, weekdays_between
from qlib_shadow_runner.nights.needs import MESSAGE_MAX, OLD_WEEKDAYS
from qlib_shadow_runner.nights.trend import WEEK, monday_of
from qlib_shadow_runner.texts import ended, one_line, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from qlib_shadow_runner.ledger.overview import Overview
    from qlib_shadow_runner.ledger.weeks import BookWeek

HALTED: Final = "halted"
RECENT: Final = 5
"""Nights that were missed so many decisions ago need no person any more."""


@dataclass(frozen=True)
class BookNeed:
    """Something about a book that a person has to look at."""

    kind: str
    """One word or two, for a badge."""
    book: str
    """Its title."""
    run_id: str | None
    sentence: str
    name: str = ""
    """The book's name, for an address."""
    command: str = ""
    """What does away with it, where one command does."""


@dataclass(frozen=True)
class Books:
    """The books of a volume at one time."""

    now: datetime
    every: Sequence[Overview] = ()
    fault: str | None = None
    """Why they could not be listed, if they could not."""

    @property
    def awake(self) -> list[Overview]:
        """Return those that were decided upon in the last weeks, and those that cannot be read."""
        return [one for one in self.every if not self._rests(one)]

    @property
    def resting(self) -> list[Overview]:
        """Return the others."""
        return [one for one in self.every if self._rests(one)]

    def _rests(self, one: Overview) -> bool:
        recorded = recorded_on(one)
        return recorded is not None and self.now.date() - recorded > RESTING

    def needs(self) -> list[BookNeed]:
        """Return what needs a person, the most urgent first."""
        unread = [BookNeed("damaged", "books", None, ended(self.fault))] if self.fault else []
        return unread + [
            BookNeed(
                *(kind, title_of(one), one.run, ended(one_line(sentence, MESSAGE_MAX)), one.book),
                command=resume_command(one) if kind == HALTED else "",
            )
            for kind, find in KINDS.items()
            for one in self.awake
            for sentence in find(one, self.now)
        ]

    def weeks(self, count: int) -> list[tuple[Overview, Sequence[BookWeek]]]:
        """Return the last weeks of each book that was decided upon in them."""
        newest = monday_of(self.now.date())
        return [
            (one, weeks_of(one, count, newest))
            for one, monday in self._last_weeks()
            if not self._is_before(monday, count)
        ]

    def before(self, count: int) -> list[tuple[Overview, str]]:
        """Return each book that has days, but none in the last weeks, with its last day."""
        ended = [one for one, monday in self._last_weeks() if self._is_before(monday, count)]
        return [(one, max(day for day in (one.decided, one.reconciled) if day)) for one in ended]

    def _last_weeks(self) -> list[tuple[Overview, date]]:
        """Return each book that has days, with the Monday of its last week."""
        return [(one, monday) for one in self.every if (monday := last_monday(one)) is not None]

    def _is_before(self, monday: date, count: int) -> bool:
        """Return whether a week is older than the last ones, so many."""
        return monday < monday_of(self.now.date()) - (count - 1) * WEEK


def recorded_on(one: Overview) -> date | None:
    """Return the day on which the last decision was recorded: made-up prices may be of years ago."""
    return None if one.recorded_at is None else date.fromisoformat(one.recorded_at[:10])


NO_BOOKS: Final = Books(datetime.min)  # noqa: DTZ901 - of no books no time is asked


def title_of(one: Overview) -> str:
    """Return the name of a book, with its namespace before it where it has one."""
    return one.book if one.namespace in {None, "", LOCAL_NAMESPACE} else f"{one.namespace}/{one.book}"


def resume_command(one: Overview) -> str:
    """Return the command that lifts the kill switch of a book."""
    return f"qlib-shadow ledger resume {one.book} --why …"


def _damaged(one: Overview, _: datetime) -> Iterator[str]:
    if one.is_damaged:
        yield one.sentence


def _halted(one: Overview, _: datetime) -> Iterator[str]:
    if one.halt is not None:
        yield one.sentence


def _held(one: Overview, _: datetime) -> Iterator[str]:
    """Yield the closed gates of the last decision, unless a halt says more."""
    if one.state is State.HELD and not one.is_lifted:
        yield one.sentence


def _reducing(one: Overview, _: datetime) -> Iterator[str]:
    if one.halt is None and one.state is State.REDUCING and not one.is_lifted:
        yield one.sentence


def _late(one: Overview, _: datetime) -> Iterator[str]:
    if one.late:
        yield f"the decision of {one.decided} was recorded at {when(one.recorded_at)}, too late to be filled"


def _missed(one: Overview, now: datetime) -> Iterator[str]:
    """Yield nights without a decision: within the last days, and since the last one."""
    recent = sorted([*one.decisions, *one.missed_days])[-RECENT:]
    missed = [day for day in one.missed_days if day in recent]
    if missed:
        yield f"nothing was decided on {', '.join(missed)}"
    recorded = recorded_on(one)
    age = 0 if recorded is None else weekdays_between(recorded, now.date())
    if age > OLD_WEEKDAYS:
        yield f"the last decision, of {one.decided}, was recorded {age} weekdays ago"


def _beyond(one: Overview, _: datetime) -> Iterator[str]:
    if one.record.is_beyond:
        last = one.record.promise[-1]
        yield (
            f"its daily returns add up to {percent(last.account)}, beyond the band of {percent(last.low)} to "
            f"{percent(last.high)} that its backtests promised"
        )


KINDS: Final[Mapping[str, Callable[[Overview, datetime], Iterator[str]]]] = {
    "damaged": _damaged,
    HALTED: _halted,
    "held": _held,
    "reducing": _reducing,
    "late": _late,
    "missed": _missed,
    "off promise": _beyond,
}

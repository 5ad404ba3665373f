"""Sessions and holidays of an exchange, from exchange_calendars, which is imported when it is first asked.

Before the first and after the last session that it knows, the days from Monday to Friday count as sessions:
of more sessions data is older and a deadline earlier, so that no gate opens for want of a holiday.
"""

from __future__ import annotations

import warnings
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, available_timezones

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.ledger import parts_of_deadline
from qlib_shadow_runner.refusals import refuse
from qlib_shadow_runner.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Span = tuple[datetime, datetime]

EARLIEST: Final = date(1990, 1, 1)
"""Where calendars begin, unless they know less; their default is twenty years ago."""
DAY: Final = timedelta(days=1)
SATURDAY: Final = 5


@dataclass(frozen=True)
class Sessions:
    """The sessions of one exchange."""

    code: str
    days: Sequence[date]
    """Those that are known, in order."""
    opens: Sequence[datetime]
    closes: Sequence[datetime]
    """When each opens and closes, in UTC."""
    breaks: Mapping[date, Span] = field(default_factory=dict)
    """When trading pauses, as at noon in Shanghai, on the days on which it does."""

    @classmethod
    def of(cls, code: str) -> Sessions:
        """Return those of an exchange; refuse a code that is not known (LedgerRefused)."""
        return _sessions(code)

    @property
    def known_through(self) -> date:
        """Return the last session that is known."""
        return self.days[-1]

    def next_session(self, day: date) -> date:
        """Return the first session after a day."""
        if self._is_known(day) and day < self.days[-1]:
            return self.days[bisect_right(self.days, day)]
        return next(one for one in (day + DAY * n for n in range(1, 4)) if one.weekday() < SATURDAY)

    def closed_since(self, day: date, now: datetime) -> int:
        """Return how many sessions after the day have closed by now: the age of data that ends on the day."""
        count, one = 0, self.next_session(day)
        while self.span(one)[1] <= now:
            count, one = count + 1, self.next_session(one)
        return count

    def span(self, day: date) -> Span:
        """Return when a day's session opens and closes, in UTC; of a day without one, the whole day."""
        place = bisect_right(self.days, day) - 1
        if place >= 0 and self.days[place] == day:
            return self.opens[place], self.closes[place]
        begin = datetime.combine(day, time(), UTC)
        return begin, begin + DAY

    def hours(self, day: date) -> tuple[Span, ...]:
        """Return the spans of a day in which trading goes on: two where there is a break at noon."""
        opens, closes = self.span(day)
        if day not in self.breaks:
            return ((opens, closes),)
        pauses, resumes = self.breaks[day]
        return (opens, pauses), (resumes, closes)

    def _is_known(self, day: date) -> bool:
        return self.days[0] <= day <= self.days[-1]


def require_exchange(code: str) -> None:
    """Refuse the code of an exchange that is not known."""
    import exchange_calendars  # noqa: PLC0415 - 0.6 s, for books alone

    names = exchange_calendars.get_calendar_names()
    if code not in names:
        refuse(
            f"spec.ledger.calendar: there is no exchange {code}; {did_you_mean(code, names)}",
            Reason.LEDGER_REFUSED,
        )


@cache
def _sessions(code: str) -> Sessions:
    require_exchange(code)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library uses what a later pandas will not have
        schedule = _schedule(code)
        paused = schedule[schedule["break_start"].notna()]
    return Sessions(
        code,
        [one.date() for one in schedule.index],
        [one.to_pydatetime() for one in schedule["open"]],
        [one.to_pydatetime() for one in schedule["close"]],
        {
            day.date(): (pauses.to_pydatetime(), resumes.to_pydatetime())
            for day, pauses, resumes in zip(
                paused.index, paused["break_start"], paused["break_end"], strict=True
            )
        },
    )


def _schedule(code: str) -> Any:
    """Return the table of an exchange's sessions."""
    import exchange_calendars  # noqa: PLC0415 - as above

    try:
        return exchange_calendars.get_calendar(code, start=EARLIEST).schedule
    except ValueError:  # of an exchange that is younger, or whose holidays are not known so far back
        return exchange_calendars.get_calendar(code).schedule


def deadline(decide_before: str, fill_day: date) -> datetime:
    """Return the moment of `decideBefore` on the day of the fill, in UTC; refuse an unknown time zone.

    A time that the clocks leave out in spring counts as they stood before; of one that they have twice in
    autumn, the first counts.
    """
    hour, minute, zone = parts_of_deadline(decide_before)
    zones = available_timezones()
    if zone not in zones:
        refuse(
            f'spec.ledger.decideBefore: "{zone}" is no time zone; {did_you_mean(zone, zones)}',
            Reason.LEDGER_REFUSED,
        )
    return datetime.combine(fill_day, time(hour, minute), ZoneInfo(zone)).astimezone(UTC)

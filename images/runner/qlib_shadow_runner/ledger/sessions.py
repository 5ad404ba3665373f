"""Sessions and holidays of an exchange, from exchange_calendars, which is imported when it is first asked.

Before the first and after the last session that it knows, the days from Monday to Friday count as sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime


@dataclass(frozen=True)
class Sessions:
    """The sessions of one exchange."""

    code: str

    @classmethod
    def of(cls, code: str) -> Sessions:
        """Return those of an exchange; refuse a code that is not known (LedgerRefused)."""
        raise NotImplementedError(code)

    def next_session(self, day: date) -> date:
        """Return the first session after a day."""
        raise NotImplementedError(day)

    def closed_since(self, day: date, now: datetime) -> int:
        """Return how many sessions after the day have closed by now: the age of data that ends on the day."""
        raise NotImplementedError(day, now)

    def span(self, day: date) -> tuple[datetime, datetime]:
        """Return when a day's session opens and closes, in UTC; of a day without one, the whole day."""
        raise NotImplementedError(day)


def deadline(decide_before: str, fill_day: date) -> datetime:
    """Return the moment of `decideBefore` on the day of the fill, in UTC; refuse an unknown time zone."""
    raise NotImplementedError(decide_before, fill_day)

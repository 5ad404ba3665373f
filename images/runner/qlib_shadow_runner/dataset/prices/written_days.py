"""Read one day as it is written in a text or a number, without deciding what a time zone means for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

EPOCH: Final = date(1970, 1, 1).toordinal()
DAY_SECONDS: Final = 86_400
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
TIME: Final = (
    r"(?:[T ]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)? ?(?P<half>[AaPp][Mm])?"
    r" ?(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?"
)
FORMS: Final = tuple(
    re.compile(form + TIME, re.ASCII)
    for form in (
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",
        r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})",
        r"(?P<day>\d{1,2})(?:-| )(?P<name>[A-Za-z]{3,9})(?:-|,? )(?P<year>\d{4})",
        r"(?P<name>[A-Za-z]{3,9})\.? (?P<day>\d{1,2}),? (?P<year>\d{4})",
    )
)
"""20190102, 2019-01-02, 2019/1/2, 02-Jan-2019 and Jan 2, 2019, each with a time of day or without."""
COMPACT: Final = re.compile(
    r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})",
    re.ASCII,
)
TURNED: Final = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<other>\d{1,2})(?P=mark)(?P<year>\d{4})" + TIME, re.ASCII
)
"""02/01/2019, whose month only the other dates of the column can tell."""
COUNTED: Final = re.compile(r"(?P<count>-?\d{9,19})(?:\.0+)?", re.ASCII)
"""Seconds, or thousandths, millionths or billionths of them, since 1970."""
UNITS: Final = {9: 1, 10: 1, 12: 10**3, 13: 10**3, 15: 10**6, 16: 10**6, 18: 10**9, 19: 10**9}
"""How many of a unit make a second, by the digits of a count from 1973 to 2286."""
DATE_AND_MINUTE: Final = re.compile(r"(?:19|20)\d{10}", re.ASCII)
"""201901021530 may be a time of day or thousandths of seconds, so it is neither here."""
NOON: Final = 12


@dataclass(frozen=True)
class WrittenDay:
    """A day with the time of day and the offset from UTC that stand beside it."""

    day: int
    """Days since 1970, by the clock that the text shows."""
    seconds: int = 0
    offset: int | None = None
    """Minutes ahead of UTC; None where none is written."""

    @property
    def instant(self) -> datetime:
        """Return the instant, where there is an offset."""
        local = datetime.fromordinal(self.day + EPOCH).replace(tzinfo=UTC) + timedelta(seconds=self.seconds)
        return local - timedelta(minutes=self.offset or 0)


def read_day(value: object, *, day_first: bool | None) -> WrittenDay | None:
    """Return what is written, or None; `day_first` is the order in 02/01/2019, None where it is unknown."""
    text = str(value).strip()
    if turned := TURNED.fullmatch(text):
        if day_first is None:
            return None
        day, month = ("first", "other") if day_first else ("other", "first")
        return _read(turned, int(turned[month]), int(turned[day]))
    for form in (*FORMS, COMPACT):
        if found := form.fullmatch(text):
            named = found.groupdict().get("name")
            return _read(found, _month(named) if named else int(found["month"]), int(found["day"]))
    return _counted(text)


def is_turned(value: object) -> bool:
    """Return whether a text is such as 02/01/2019."""
    return TURNED.fullmatch(str(value).strip()) is not None


def order_of(values: Iterable[object]) -> bool | None:
    """Return whether the day stands first in dates such as 02/01/2019; None where they do not decide it."""
    found = [match for value in values if (match := TURNED.fullmatch(str(value).strip()))]
    day_first = any(int(match["first"]) > NOON for match in found)
    month_first = any(int(match["other"]) > NOON for match in found)
    return None if day_first == month_first else day_first


def _read(match: re.Match[str], month: int, day: int) -> WrittenDay | None:
    parts = match.groupdict()
    try:
        number = date(int(parts["year"]), month, day).toordinal() - EPOCH
    except ValueError:
        return None
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    if half := (parts.get("half") or "").lower():
        if not 1 <= hour <= NOON:
            return None
        hour = hour % NOON + (NOON if half == "pm" else 0)
    seconds = (hour * 60 + minute) * 60 + second
    if minute > 59 or second > 59 or seconds >= DAY_SECONDS:  # noqa: PLR2004 - of a clock
        return None
    return WrittenDay(number, seconds, _offset(parts.get("zone")))


def _offset(zone: str | None) -> int | None:
    if zone is None:
        return None
    digits = zone.lstrip("+-").replace(":", "")
    if not digits.isdigit():
        return 0
    minutes = int(digits[:2]) * 60 + int(digits[2:] or 0)
    return -minutes if zone.startswith("-") else minutes


def _month(name: str) -> int:
    short = name[:3].lower()
    return MONTHS.index(short) + 1 if short in MONTHS else 0


def _counted(text: str) -> WrittenDay | None:
    found = COUNTED.fullmatch(text)
    count = found["count"] if found else ""
    unit = UNITS.get(len(count.lstrip("-")))
    if unit is None or DATE_AND_MINUTE.fullmatch(count):
        return None
    day, rest = divmod(int(count), DAY_SECONDS * unit)
    return WrittenDay(day, -(-rest // unit), 0)

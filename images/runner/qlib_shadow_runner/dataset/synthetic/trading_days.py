"""Trading days by New York's holiday rules, so that synthetic data has plausible dates."""

from __future__ import annotations

from datetime import date, timedelta

MONDAY, THURSDAY, SATURDAY, SUNDAY = 0, 3, 5, 6
JUNETEENTH_SINCE = 2022


def trading_days(start: date, count: int) -> list[date]:
    """Return the first `count` open days from `start` on."""
    days: list[date] = []
    closed: frozenset[date] = frozenset()
    day, year = start, 0
    while len(days) < count:
        if day.year != year:
            year, closed = day.year, holidays(day.year)
        if day.weekday() < SATURDAY and day not in closed:
            days.append(day)
        day += timedelta(days=1)
    return days


def holidays(year: int) -> frozenset[date]:
    """Return the days of a year on which New York is closed by rule."""
    fixed = [date(year, 7, 4), date(year, 12, 25)]
    if year >= JUNETEENTH_SINCE:
        fixed.append(date(year, 6, 19))
    new_year = date(year, 1, 1)
    if new_year.weekday() != SATURDAY:  # the exchange does not close on the Friday before
        fixed.append(new_year)
    floating = [
        _nth_weekday(year, 1, MONDAY, 3),
        _nth_weekday(year, 2, MONDAY, 3),
        _easter(year) - timedelta(days=2),
        _nth_weekday(year, 6, MONDAY, 1) - timedelta(days=7),  # the last Monday of May
        _nth_weekday(year, 9, MONDAY, 1),
        _nth_weekday(year, 11, THURSDAY, 4),
    ]
    return frozenset([_observed(day) for day in fixed] + floating)


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _observed(day: date) -> date:
    shift = {SATURDAY: -1, SUNDAY: 1}.get(day.weekday(), 0)
    return day + timedelta(days=shift)


def _easter(year: int) -> date:
    """Return Easter Sunday by the anonymous Gregorian computus."""
    golden, century, rest = year % 19, year // 100, year % 100
    epact = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (rest // 4) - epact - rest % 4) % 7
    shift = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * shift + 114, 31)
    return date(year, month, day + 1)

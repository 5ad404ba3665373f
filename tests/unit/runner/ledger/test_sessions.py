"""Sessions, holidays and deadlines are those of the exchange, and of its time zone on that day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.ledger.small_market import BOOK, RULES, SmallMarket, sessions_from

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.night import record_night
from qlib_shadow_runner.ledger.sessions import Sessions, deadline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def evening(day: date, hours: float = 22.0) -> datetime:
    """Return a moment of a day in UTC."""
    return datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("code", "day", "following"),
    [
        ("XNYS", "2026-03-02", "2026-03-03"),
        ("XNYS", "2026-03-06", "2026-03-09"),
        ("XNYS", "2026-04-02", "2026-04-06"),  # Good Friday
        ("XNYS", "2026-12-24", "2026-12-28"),
        ("XSHG", "2025-09-30", "2025-10-09"),  # Golden Week
        ("XSHG", "2026-02-13", "2026-02-24"),  # Spring Festival
        ("XTAI", "2026-02-11", "2026-02-23"),
        ("XSHG", "1990-12-24", "1990-12-25"),
    ],
)
def test_the_next_session_leaves_holidays_out(code: str, day: str, following: str):
    """By the exchange's own calendar."""
    assert Sessions.of(code).next_session(date.fromisoformat(day)) == date.fromisoformat(following)


def test_beyond_the_known_sessions_weekdays_count():
    """The calendar of Shanghai is published for a year at a time."""
    shanghai = Sessions.of("XSHG")
    last = shanghai.known_through
    after = shanghai.next_session(last)
    assert after > last
    assert after.weekday() < 5
    assert shanghai.next_session(date(2099, 12, 31)) == date(2100, 1, 1)
    assert shanghai.next_session(date(1950, 1, 6)) == date(1950, 1, 9)
    assert shanghai.span(date(2099, 12, 31)) == (evening(date(2099, 12, 31), 0), evening(date(2100, 1, 1), 0))
    assert shanghai.closed_since(date(2099, 12, 25), evening(date(2099, 12, 31), 0)) == 3


def test_the_age_of_data_counts_sessions_that_have_closed():
    """The day of the data is not one of them, and a session that is open is not yet one."""
    new_york = Sessions.of("XNYS")
    friday = date(2026, 3, 6)
    assert new_york.closed_since(friday, evening(friday)) == 0
    assert new_york.closed_since(friday, evening(date(2026, 3, 9), 19.9)) == 0  # it closes at 20:00 in summer
    assert new_york.closed_since(friday, evening(date(2026, 3, 9), 20)) == 1
    assert new_york.closed_since(friday, evening(date(2026, 3, 14))) == 5
    assert new_york.closed_since(date(2026, 11, 26), evening(date(2026, 11, 27), 18)) == 1  # a half day


def test_golden_week_closes_no_gate_on_the_age_of_data(tmp_path: Path):
    """Nine days without a session are none by which data grows older."""
    days = sessions_from(date(2025, 9, 26), 6, "XSHG")
    assert days[2:4] == (date(2025, 9, 30), date(2025, 10, 9))
    market = SmallMarket(tmp_path, days=days)
    rules = replace(RULES, calendar="XSHG", gates=replace(RULES.gates, max_data_age_days=0))
    clock = evening(date(2025, 10, 8))
    decided = market.record(tmp_path / BOOK, days[2], rules=rules, clock=lambda: clock)
    assert decided.decision["decision"] == "Decided"
    assert f"due on {days[3]}" in decided.sentence
    by_weekdays = replace(rules, calendar="XNYS")
    held = market.record(tmp_path / "eu", days[2], rules=by_weekdays, clock=lambda: clock)
    assert held.decision["decision"] == "Held"


@pytest.mark.parametrize(
    ("text", "day", "moment"),
    [
        ("09:00 America/New_York", "2026-03-06", "2026-03-06T14:00"),
        ("09:00 America/New_York", "2026-03-09", "2026-03-09T13:00"),  # summer time since Sunday
        ("09:00 America/New_York", "2026-10-30", "2026-10-30T13:00"),
        ("09:00 America/New_York", "2026-11-02", "2026-11-02T14:00"),
        ("02:30 America/New_York", "2026-03-08", "2026-03-08T07:30"),  # the clocks leave it out
        ("01:30 America/New_York", "2026-11-01", "2026-11-01T05:30"),  # the first of two
        ("09:15 Asia/Shanghai", "2026-03-09", "2026-03-09T01:15"),
        ("00:30 Asia/Tokyo", "2026-03-09", "2026-03-08T15:30"),
        ("23:59 UTC", "2026-03-09", "2026-03-09T23:59"),
    ],
)
def test_a_deadline_is_a_time_of_its_zone_on_that_day(text: str, day: str, moment: str):
    """Over the changes of the clocks."""
    found = deadline(text, date.fromisoformat(day))
    assert found == datetime.fromisoformat(moment).replace(tzinfo=UTC)


def test_the_deadline_of_a_decision_is_on_the_day_of_its_fill(tmp_path: Path):
    """On Friday that is Monday, when the clocks have changed."""
    market = SmallMarket(tmp_path)
    rules = replace(RULES, decide_before="09:00 America/New_York")
    friday = date(2026, 3, 6)
    done = market.record(tmp_path / BOOK, friday, rules=rules)
    assert done.decision["decideBefore"] == "2026-03-09T13:00:00Z"


def test_the_next_day_of_the_data_is_the_day_of_the_fill_where_it_is_known(tmp_path: Path):
    """A book that is recorded afterwards has days that no calendar has to know."""
    market = SmallMarket(tmp_path, days=(date(2026, 3, 2), date(2026, 3, 4), date(2026, 3, 5)))
    rules = replace(RULES, decide_before="09:00 America/New_York")
    night = market.night(tmp_path / BOOK, market.days[0], rules=rules)
    done = record_night(night, market.dataset())
    assert done.decision is not None
    assert done.decision["decideBefore"] == "2026-03-04T14:00:00Z"


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: Sessions.of("XNYSE"), 'there is no exchange XNYSE; did you mean "XNYS"?'),
        (lambda: Sessions.of("ZZZZ"), "there is no exchange ZZZZ"),
        (
            lambda: deadline("09:00 America/New_Yrok", date(2026, 3, 2)),
            '"America/New_Yrok" is no time zone; did you mean "America/New_York"?',
        ),
    ],
)
def test_an_unknown_exchange_or_zone_is_refused_with_the_nearest(ask: Callable[[], object], said: str):
    """The user corrects the spec; no retry does."""
    with pytest.raises(StageError) as caught:
        ask()
    assert caught.value.reason is Reason.LEDGER_REFUSED
    assert said in caught.value.message

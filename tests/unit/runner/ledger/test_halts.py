"""The kill switch is obeyed whatever is in its file, and lifting it is recorded."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.special_files import DAMAGES, replace

from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.halts import Halt, halt, halt_of, history, peaks_begun, resume, state_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.runner.ledger.small_market import SmallMarket

NOW = datetime(2026, 3, 3, 15, tzinfo=UTC)


@pytest.fixture
def begun(market: SmallMarket, book: Path) -> Path:
    """Return a book with two nights."""
    for day in market.days[:2]:
        market.record(book, day)
    return book


def test_a_halt_is_read_as_it_was_written_and_another_takes_its_place(begun: Path):
    """The later word counts."""
    assert halt_of(begun) is None
    halt(begun, "a strike", reducing=False, now=NOW)
    assert halt_of(begun) == Halt("HALTED", "a strike", NOW)
    halt(begun, "less", reducing=True, now=NOW)
    assert halt_of(begun) == Halt("REDUCING", "less", NOW)
    written = json.loads((begun / "HALT").read_bytes())
    assert written == {"state": "REDUCING", "why": "less", "at": "2026-03-03T15:00:00Z"}


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_lies_in_the_place_of_a_halt_holds_the_book(market: SmallMarket, begun: Path, damage: str):
    """Also what cannot be read; and a resume can take it away, but for a folder."""
    replace(begun / "HALT", damage)
    found = halt_of(begun)
    assert found is not None
    assert found.state == "HALTED"
    assert market.record(begun, market.days[2]).decision["decision"] == "Held"
    if damage == "folder":
        with pytest.raises(StageError, match="HALT"):
            resume(begun, "seen", NOW)
    else:
        resume(begun, "seen", NOW)
        assert halt_of(begun) is None


@pytest.mark.parametrize(
    "content", ["", "{}", "no", '{"state": "halted"}', '{"state": []}', '{"why": "x"}', "null", '"HALTED"']
)
def test_a_halt_with_any_other_content_counts_as_halted(begun: Path, content: str):
    """`touch HALT` is enough."""
    (begun / "HALT").write_text(content)
    found = halt_of(begun)
    assert found is not None
    assert (found.state, found.at) == ("HALTED", None)
    assert found.holds_at(NOW)


def test_a_resume_keeps_what_was_and_when_and_up_to_which_day_the_chain_had_come(
    market: SmallMarket, begun: Path
):
    """A resume without a HALT is one as well: it can let the peak begin again."""
    halt(begun, "a strike", reducing=False, now=NOW)
    later = NOW + timedelta(hours=1)
    lifted = resume(begun, "over", later)
    assert lifted == Halt("HALTED", "a strike", NOW, later, "over", market.days[1])
    again = resume(begun, "peak", later + timedelta(hours=1), reset_drawdown=True)
    assert (again.state, again.resumed_day, again.reset_drawdown) == ("", market.days[1], True)
    assert (peaks_begun([lifted]), peaks_begun([lifted, again])) == (set(), {market.days[1]})
    assert history(begun) == (lifted, again)
    assert not again.holds_at(NOW)


def test_files_of_another_form_in_the_history_are_left_out(begun: Path):
    """They can stop no night, and lift nothing."""
    resume(begun, "over", NOW)
    for number, damage in enumerate(DAMAGES):
        replace(begun / "halts" / f"{number}.json", damage)
    (begun / "halts" / "x.json").write_text('{"state": "HALTED", "resumedAt": "yesterday"}')
    (begun / "halts" / "y.json").write_text(
        '{"state": 1, "resumedAt": "2026-03-05T00:00:00Z", "resumedDay": 3}'
    )
    found = history(begun)
    assert [(one.state, one.resumed_day) for one in found] == [("", date(2026, 3, 3)), ("HALTED", None)]


def test_a_moment_between_halt_and_resume_is_one_on_which_it_was_on():
    """Of two that were on, the one that halts is the more severe."""
    one = Halt("REDUCING", "", NOW, NOW + timedelta(hours=2))
    other = Halt("HALTED", "", NOW + timedelta(hours=1), NOW + timedelta(hours=2))
    hours = [state_at([one, other], NOW + timedelta(hours=number)) for number in (-1, 0, 1, 2)]
    assert hours == [None, one, other, None]


def test_where_there_is_no_book_there_is_no_kill_switch(tmp_path: Path):
    """A HALT in a folder of another name would stop nothing."""
    with pytest.raises(StageError, match="there is no book us in"):
        halt(tmp_path / "us", "x", reducing=False, now=NOW)
    with pytest.raises(StageError, match="there is no book us in"):
        resume(tmp_path / "us", "x", NOW)


def test_a_reason_of_bytes_that_are_no_text_is_written_as_text(begun: Path):
    """As a shell may give it."""
    halt(begun, "caf\udce9", reducing=False, now=NOW)
    assert halt_of(begun) == Halt("HALTED", "caf?", NOW)

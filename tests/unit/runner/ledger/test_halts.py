"""The kill switch is obeyed whatever is in its file, and lifting it is recorded."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.ledger.small_market import files_of
from tests.unit.runner.special_files import DAMAGES, replace

from qlib_shadow_runner.contract import USER_ERRORS, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger import halts
from qlib_shadow_runner.ledger import night as nights
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.halts import Halt, halt, halt_of, history, resume, state_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.runner.ledger.small_market import SmallMarket

NOW = datetime(2026, 3, 3, 15, tzinfo=UTC)


@pytest.fixture
def begun(market: SmallMarket, book: Path) -> Path:
    """Return a book with two nights."""
    for day in market.days[:2]:
        market.record(book, day)
    return book


def test_a_halt_is_read_as_it_was_written(begun: Path):
    """What it says is for people; the state counts."""
    assert halt_of(begun) is None
    halt(begun, "less", reducing=True, now=NOW)
    assert halt_of(begun) == Halt("REDUCING", "less", NOW)
    written = json.loads((begun / "HALT").read_bytes())
    assert written == {"state": "REDUCING", "why": "less", "at": "2026-03-03T15:00:00Z"}


@pytest.mark.parametrize("reducing", [True, False])
def test_a_halted_takes_the_place_of_what_is_on_and_both_are_kept(begun: Path, *, reducing: bool):
    """Each counts from its own moment on."""
    later = NOW + timedelta(hours=9)
    first = halt(begun, "less", reducing=reducing, now=NOW)
    second = halt(begun, "a strike", reducing=False, now=later)
    assert halt_of(begun) == second == Halt("HALTED", "a strike", later)
    assert history(begun) == (Halt(first.state, "less", NOW, later, "HALTED in its place: a strike", None),)
    on = [state_at([*history(begun), second], NOW + timedelta(hours=hours)) for hours in (-1, 0, 8, 9)]
    assert [one and one.state for one in on] == [None, first.state, first.state, "HALTED"]


def test_what_counts_as_halted_is_kept_when_a_halt_takes_its_place(begun: Path):
    """`touch HALT` does not say since when, so that it has held always."""
    (begun / "HALT").touch()
    halt(begun, "a strike", reducing=False, now=NOW)
    assert state_at(history(begun), NOW - timedelta(days=1)) == history(begun)[0]


@pytest.mark.parametrize("damage", [None, *DAMAGES])
def test_reducing_takes_the_place_of_nothing_that_is_on(begun: Path, damage: str | None):
    """Not even of a HALTED that came after it was looked for."""
    if damage is None:
        halt(begun, "a strike", reducing=False, now=NOW)
    else:
        replace(begun / "HALT", damage)
    before = halt_of(begun)
    with pytest.raises(StageError, match="on already, and REDUCING takes the place of none"):
        halt(begun, "less", reducing=True, now=NOW)
    assert halt_of(begun) == before
    assert before is not None
    assert before.state == "HALTED"


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO])
@pytest.mark.parametrize("called", ["names_in", "read_object"])
def test_a_history_that_does_not_answer_ends_the_night_which_is_tried_again(
    market: SmallMarket, begun: Path, monkeypatch: pytest.MonkeyPatch, number: int, called: str
):
    """What was halted until a moment ago may lie in it."""
    day = market.days[2]
    opened = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=15)
    halt(begun, "a strike", reducing=False, now=opened)
    resume(begun, "over", opened + timedelta(hours=8))  # after the close at which orders fill
    before, real = files_of(begun), getattr(halts, called)

    def fails(root: Path, name: str) -> object:
        if "/halts" in name:
            raise OSError(number, os.strerror(number))
        return real(root, name)

    with monkeypatch.context() as patch:
        patch.setattr(halts, called, fails)
        with pytest.raises(StageError) as caught:
            market.record(begun, day)
    assert caught.value.exit_code not in USER_ERRORS
    assert files_of(begun) == before
    market.record(begun, day)
    fills = Chain.read(begun).fills[-1].document["fills"]
    assert {one["why"] for one in fills} == {"the book was HALTED: a strike"}


def test_a_halt_that_is_lifted_while_a_night_reads_it_has_stopped_what_it_stopped(
    market: SmallMarket, begun: Path, monkeypatch: pytest.MonkeyPatch
):
    """It is seen where it lies, or in the history."""
    opened = datetime.combine(market.days[2], datetime.min.time(), UTC) + timedelta(hours=15)
    halt(begun, "a strike", reducing=False, now=opened)

    def then_lifted(real: Callable[[Path], object]) -> Callable[[Path], object]:
        def call(folder: Path) -> object:
            found = real(folder)
            if halt_of(begun) is not None:
                resume(begun, "over", opened + timedelta(hours=8))
            return found

        return call

    for name in ("halt_of", "history"):
        monkeypatch.setattr(nights, name, then_lifted(getattr(nights, name)))
    market.record(begun, market.days[2])
    fills = Chain.read(begun).fills[-1].document["fills"]
    assert {one["why"] for one in fills} == {"the book was HALTED: a strike"}


@pytest.mark.parametrize("damage", ["FIFO", "link", "link to itself", "empty"])
def test_a_history_that_is_no_folder_is_damage(market: SmallMarket, begun: Path, damage: str):
    """It may have held what stops an order."""
    replace(begun / "halts", damage)
    with pytest.raises(StageError, match=r"halts is a .*, where a folder is expected") as caught:
        market.record(begun, market.days[2])
    assert caught.value.reason is Reason.LEDGER_DAMAGED


def test_purchases_that_a_reducing_stopped_stay_stopped_when_a_halted_takes_its_place(
    market: SmallMarket, begun: Path
):
    """At the close the first was on, and sales passed."""
    day = market.days[2]
    morning = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=15)
    halt(begun, "less", reducing=True, now=morning)
    halt(begun, "a strike", reducing=False, now=morning + timedelta(hours=8))
    assert market.record(begun, day).decision["decision"] == "Held"
    fills = Chain.read(begun).fills[-1].document["fills"]
    assert {(one["side"], one["why"]) for one in fills} == {
        ("sell", None),
        ("buy", "the book was REDUCING: less"),
    }


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
    """A resume without a HALT is one as well: it begins the peak."""
    halt(begun, "a strike", reducing=False, now=NOW)
    later = NOW + timedelta(hours=1)
    lifted = resume(begun, "over", later)
    assert lifted == Halt("HALTED", "a strike", NOW, later, "over", market.days[1])
    again = resume(begun, "peak", later + timedelta(hours=1))
    assert (again.state, again.resumed_day) == ("", market.days[1])
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

"""The page of a book: what it tells of sound, odd and damaged ones, and that it stays small."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.unit.runner.conftest import weekdays
from tests.unit.runner.ledger.sample_book import FIRST, RULES, SampleBook, write_book
from tests.unit.runner.report.pages import read_page

from qlib_shadow_runner.ledger import halts
from qlib_shadow_runner.ledger.account import Account, Holding, Order
from qlib_shadow_runner.ledger.overview import Overview, State, overview
from qlib_shadow_runner.ledger.record import Day, record_of
from qlib_shadow_runner.ledger.rules import Limits
from qlib_shadow_runner.report.book.charts import charts_of
from qlib_shadow_runner.report.book.contents import Contents, contents_of
from qlib_shadow_runner.report.book.page import LEDGER_PAGE, BookView, book_page, book_view, refresh_page
from qlib_shadow_runner.report.scale import TOP, WIDTH
from qlib_shadow_runner.texts import ABSENT, percent

if TYPE_CHECKING:
    from pathlib import Path

EVIL: Final = "<img src=x onerror=alert(1)>\x1b[31m\u202e\"'&" + "y" * 3000
CHARTS: Final = ["value", "promise", "drawdown", "turnover", "costs"]


def page_of(book: SampleBook) -> str:
    """Return the page of a book."""
    return book_page(book_view(book.folder))


def words_of(text: str) -> str:
    """Return what a page says."""
    return " ".join(read_page(text[text.index("<body>") :]).text.split())


def charts_in(text: str) -> list[str]:
    """Return the names of the charts."""
    return re.findall(r'id="chart-([a-z]+)"', text)


def test_a_page_tells_the_state_first_then_gates_and_record(tmp_path: Path):
    """Then orders, fills, positions, nights and the head, with how to verify it."""
    book = write_book(tmp_path, nights=30, held=(29,), late=(20,), missed=(12,))
    text = page_of(book)
    assert "Held 1 missed 2026-12-11: positions stay: the live IC has decayed. A paper account" in (
        words_of(text).replace("Held1 missed", "Held 1 missed ")
    )
    titles = [line.removeprefix("h2 ") for line in read_page(text).outline if line.startswith("h2")]
    assert titles == [
        *("Gates of 2026-12-11", "Record", "Orders of 2026-12-11", "Fills of 2026-12-11"),
        *("Positions at the close of 2026-12-11", "Nights", "How to verify this"),
    ]
    assert charts_in(text) == CHARTS
    assert book.previous in text
    assert "verify us-shadow --head HEAD_FROM_STATUS" in text
    assert "Late: 2026-11-30. Missed: 2026-11-18." in words_of(text)


def test_a_gate_has_a_word_and_a_sign_besides_its_colour(tmp_path: Path):
    """The closed ones come first."""
    rows = read_page(page_of(write_book(tmp_path, nights=3, held=(2,)))).tables["table-gates"]
    assert [row[:2] for row in rows[1:]] == [
        ["live IC", "■ closed"], ["halt", "● open"], ["data age", "● open"], ["drawdown", "● open"],
    ]  # fmt: skip
    rows = read_page(page_of(write_book(tmp_path, "sales", nights=3, reducing=(2,)))).tables["table-gates"]
    assert [row[1] for row in rows[1:3]] == ["▲ only sales", "◇ not known"]


def test_nights_that_went_otherwise_are_marked_in_the_charts(tmp_path: Path):
    """By kind, on their days, between the ends of the axis."""
    book = write_book(tmp_path, nights=40, held=(5, 6), reducing=(9,), late=(20,), missed=(12, 30))
    view = book_view(book.folder)
    assert [(row.name, row.count) for row in view.charts[0].rows] == [
        ("late", 1), ("missed", 2), ("held", 2), ("sales", 1),
    ]  # fmt: skip
    for chart in view.charts:
        for row in chart.rows:
            places = [float(x) for x in re.findall(r"M([0-9.]+) ", row.path)]
            assert len(places) == row.count
            assert all(chart.left <= x <= chart.right for x in places)


def test_the_first_night_has_no_charts_and_says_when_they_begin(tmp_path: Path):
    """Nor any fill or position; a book without a night has no order either."""
    text = page_of(write_book(tmp_path, nights=1))
    assert charts_in(text) == []
    assert "the charts begin with it" in text
    assert "None: all is cash." in text
    assert len(read_page(text).tables["table-orders"]) == 3
    empty = words_of(page_of(SampleBook(tmp_path / "empty", "empty").begin()))
    assert "nothing is decided yet" in empty
    assert "No night is recorded yet." in empty


def test_a_late_first_night_does_not_speak_of_fills(tmp_path: Path):
    """Late is the state, and nothing on the page expects its orders to be filled."""
    said = words_of(page_of(write_book(tmp_path, nights=1, late=(0,))))
    assert "Late 2026-11-02: 2 orders recorded too late, so that none is ever filled." in said.replace(
        "Late2026", "Late 2026"
    )
    assert "Decided2026" not in said
    assert "filled on paper" not in said
    assert "first orders are filled" not in said


def test_a_limit_that_was_not_asked_says_so(tmp_path: Path):
    """The orders of a first night exceed a turnover of which no gate was asked, and the page is no riddle."""
    limits = Limits(max_turnover=0.9, max_weight=0.5)
    book = SampleBook(tmp_path / "us-shadow", rules=replace(RULES, limits=limits)).begin()
    weight = {"gate": "weight", "verdict": "open", "sentence": "47.5%", "figure": 0.475, "limit": 0.5}
    book.decide(FIRST, gates=[weight])
    tables = read_page(page_of(book)).tables
    assert tables["table-figures"][2][1:5] == ["90.0% not asked", "none", "none", "50.0%"]
    assert tables["table-gates"][1][2:4] == ["47.50%", "50.00%"]


def test_the_times_of_a_plan_are_in_utc(tmp_path: Path):
    """As all times of the page are."""
    book = SampleBook(tmp_path / "us-shadow").begin()
    slices = tuple({"id": f"{n}", "time": f"2026-11-03T{n}:30:00Z", "shares": 1.0} for n in (14, 17, 20))
    book.decide(FIRST, orders=[Order("AAA", "buy", 3.0, 3.0, 50.0, id="f", slices=slices).document()])
    assert "into 3 equal slices, from 2026-11-03 14:30 to 2026-11-03 20:30 UTC." in words_of(page_of(book))


def test_a_missed_night_is_a_row_of_the_nights(tmp_path: Path):
    """With the account of its day, and without a run."""
    rows = read_page(page_of(write_book(tmp_path, nights=5, missed=(3,)))).tables["table-nights"]
    assert [row[:2] for row in rows[1:4]] == [
        ["2026-11-06", "Decided"], ["2026-11-05", "Missed"], ["2026-11-04", "Decided"],
    ]  # fmt: skip
    assert rows[2][2:4] == [ABSENT, ABSENT]
    assert rows[2][6] == ABSENT


def test_what_is_not_known_is_not_drawn(tmp_path: Path):
    """Neither a benchmark nor a promise is needed."""
    book = SampleBook(tmp_path / "bare", "bare").begin()
    for number, day in enumerate(weekdays(4, FIRST)):
        if number:
            book.fill(day, benchmark=None)
        book.decide(day, promise={"mean": None, "deviation": None, "days": None})
    text = page_of(book)
    assert charts_in(text) == [name for name in CHARTS if name != "promise"]
    assert "no benchmark is known" in text
    assert "no promise is known" in text
    assert "line-other" not in text.partition("chart-drawdown")[0].partition("chart-value")[2]


def test_a_halt_is_shown_with_its_reason_and_those_before_in_a_history(tmp_path: Path):
    """Times are to the minute."""
    book = write_book(tmp_path, nights=3)
    now = datetime(2026, 11, 5, 6, 30, 12, 345, tzinfo=UTC)
    halts.halt(book.folder, "a first try", reducing=True, now=now)
    halts.resume(book.folder, "all is well", now + timedelta(hours=1))
    halts.halt(book.folder, "bad prices", reducing=False, now=now + timedelta(hours=2))
    text = page_of(book)
    assert "Halted no orders are recorded since 2026-11-05 08:30 UTC: bad prices." in words_of(text).replace(
        "Haltedno", "Halted no"
    )
    assert "The kill switch is on (HALTED) since 2026-11-05 08:30 UTC: bad prices." in words_of(text)
    rows = read_page(text).tables["table-halts"]
    assert rows[1] == ["2026-11-05 06:30", "REDUCING", "a first try", "2026-11-05 07:30", "all is well"]


def test_the_drawdown_of_the_last_day_is_that_of_the_book(tmp_path: Path):
    """Since the highest value of all; what the gate counts since a reset stands beside it."""
    book = write_book(tmp_path, nights=7)
    now = datetime(2026, 11, 10, 23, tzinfo=UTC)
    halts.resume(book.folder, "it may begin again", now, reset_drawdown=True)
    about, text = overview(book.folder), page_of(book)
    navs = [about.capital or 0.0, *(day.nav for day in about.days)]
    losses = [1 - nav / max(navs[: number + 1]) for number, nav in enumerate(navs)]
    assert about.drawdown == pytest.approx(losses[-1])
    assert losses[-1] > 0
    assert about.drawdown_since_reset == 0.0
    assert f"{percent(-losses[-1], 2)} now, {percent(-max(losses), 2)} at worst" in text
    since = f"{percent(about.drawdown_since_reset, 2)} since the reset of {about.reconciled}"
    assert since in words_of(text)


def test_other_rules_are_an_era_with_what_changed(tmp_path: Path):
    """Named as the rules are."""
    book = write_book(tmp_path, nights=2)
    book.fill(weekdays(3, FIRST)[2])
    book.rules = replace(RULES, targets=replace(RULES.targets, topk=3), limits=Limits(max_weight=0.6))
    book.decide(weekdays(3, FIRST)[2], era=2, rules=book.rules.document())
    text = page_of(book)
    rows = read_page(text).tables["table-eras"]
    assert rows[1] == ["2", "2026-11-04", "limits.maxWeight: none → 0.6; targets.topk: 2 → 3"]
    assert book_view(book.folder).charts[0].rows[0].name == "rules"


def hostile_book(ledgers: Path) -> SampleBook:
    """Return a book in which every text is hostile."""
    first, second, *_ = weekdays(2, FIRST)
    book = SampleBook(ledgers / "evil", "evil", namespace=EVIL).begin()
    book.decide(first)
    book.fill(second)
    gates = [
        {"gate": EVIL, "verdict": verdict, "sentence": EVIL, "figure": EVIL, "limit": EVIL}
        for verdict in ("closed", "unknown")
    ]
    slices = ({"id": EVIL, "time": "2026-11-03T14:30:00Z", "shares": 1.0},) * 5
    order = Order(EVIL, "sell", 1e9, 1e9, 3.0, id=EVIL, slices=slices)
    book.account = Account(1.0, {EVIL: Holding(1e9, 2.0, 1.0, str(first))})
    book.rules = replace(RULES, region=EVIL)
    more: dict[str, Any] = {"orders": [order.document()] * 3, "run": {"runId": EVIL}, "notes": [EVIL] * 40}
    book.decide(second, "Held", gates=gates, era=2, rules=book.rules.document(), **more)
    halt = json.dumps({"state": "REDUCING", "why": EVIL, "at": "2026-11-03T00:00:00Z"})
    (book.folder / "HALT").write_text(halt)
    halts.resume(book.folder, EVIL, datetime(2026, 11, 4, tzinfo=UTC))
    (book.folder / "HALT").write_text(halt)
    return book


def test_a_hostile_book_is_only_text(tmp_path: Path):
    """Bounded, without hidden characters, and nothing of it is markup."""
    text = page_of(hostile_book(tmp_path))
    assert "&lt;img src=x" in text
    for mark in ("<img", "\x1b", "\u202e", "y" * 700):
        assert mark not in text
    assert len(text) < 100_000


def test_a_page_needs_nothing_else(tmp_path: Path):
    """No script, no address to load from, and a policy that forbids both."""
    text = page_of(write_book(tmp_path, nights=3))
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert re.findall(r"<script|<link|<img|<iframe|src=|href=|url\(|@import", text) == []


def test_a_damaged_book_says_what_is_wrong_and_what_to_do(tmp_path: Path):
    """Nothing else of it is believed."""
    book = write_book(tmp_path, nights=4)
    (book.folder / "chain" / "000001.json").write_text('{"<b>": 1}')
    view = book_view(book.folder)
    text = book_page(view)
    assert view.overview.state is State.DAMAGED
    assert "What to do" in text
    assert "000001.json" in words_of(text)
    assert "<b>" not in text.partition("<article")[2].partition("What to do")[0]
    assert charts_in(text) == []


def test_a_book_in_a_folder_of_another_name_is_not_believed(tmp_path: Path):
    """Its name is in addresses and on the command line, and BOOK.json may say anything."""
    book = write_book(tmp_path, nights=2)
    other = book.folder.rename(tmp_path / "other")
    assert "BOOK.json is of another book, us-shadow" in book_page(book_view(other))


def long_book(days: int, names: int) -> BookView:
    """Return a view of a long and wide book, without files."""
    start = date(2020, 1, 1)
    found = [
        Day(
            *(str(start + timedelta(days=number)), 1e6 + number, 1.0, 1e-6, 1.0, 1e4, -1.0, 0.001),
            *(True, 0.001, 0.01, 750),
        )
        for number in range(days)
    ]
    account = Account(1.0, {f"S{name:05}": Holding(1.0, 2.0, 1.0, found[-1].day) for name in range(names)})
    orders = [Order(name, "buy", 1.0, 1.0, 2.0, id="f" * 16) for name in account.holdings]
    decision = {
        "kind": "decision", "era": 1, "rules": None, "rulesSha256": "a", "decision": "Held", "late": False,
        "gates": [], "orders": [one.document() for one in orders], "figures": {}, "notes": [],
        "account": account.document(), "run": {"runId": "r"}, "recordedAt": "2026-11-30T22:00:00Z",
    }  # fmt: skip
    documents = [{**decision, "day": day.day} for day in found]
    about = Overview(
        *("long", State.DECIDED, "well"), capital=1e6, nav=1e6, decided=found[-1].day, names=names,
        days=tuple(found), record=record_of(found), reconciled=found[-1].day,
        missed_days=tuple(day.day for day in found[1::2]), late_days=tuple(day.day for day in found[::2]),
    )  # fmt: skip
    contents = contents_of(about, documents, {})
    return BookView(about, contents, charts_of(about, contents))


def test_a_long_and_wide_book_has_a_small_page():
    """A thousand days, each with a mark of every kind, and as many positions and orders."""
    text = book_page(long_book(1000, 1500))
    assert len(text) < 500_000
    tables = read_page(text).tables
    assert (len(tables["table-orders"]), len(tables["table-positions"])) == (101, 101)
    assert "and 1400 more" in text
    assert "the largest 100 of 1500" in text
    assert len(book_page(long_book(5000, 1))) < 1_000_000


@pytest.mark.parametrize("scale", [1e-12, 0.01, 40.0])
def test_charts_stay_inside_their_areas(scale: float):
    """For small and large figures, and for a loss of everything."""
    days = [
        Day(
            *(f"2026-11-{number:02}", 100 + scale * (-1) ** number, scale, scale, scale, 1.0, scale),
            *(-scale, True, scale, scale, 750),
        )
        for number in range(2, 12)
    ]
    about = Overview("b", State.DECIDED, "", capital=100.0, days=tuple(days), record=record_of(days))
    for chart in charts_of(about, Contents(first="2026-11-01")):
        drawn = [*chart.areas, *chart.lines]
        points = [tuple(map(float, point.split(","))) for one in drawn for point in one.points.split()]
        assert all(chart.left <= x <= WIDTH and TOP <= y <= chart.height for x, y in points), chart.name
        assert 2 <= len(chart.grid) <= 9


def test_the_page_is_written_beside_the_chain(tmp_path: Path):
    """Again after each night; one that cannot be written is told of, and ends nothing."""
    book = write_book(tmp_path, nights=2)
    path = book.folder / LEDGER_PAGE
    assert refresh_page(book.folder) is None
    before = path.read_text()
    assert before == page_of(book)
    book.fill(weekdays(3, FIRST)[2])
    assert refresh_page(book.folder) is None
    assert path.read_text() != before
    path.unlink()
    path.mkdir()
    said = refresh_page(book.folder)
    assert said is not None
    assert said.startswith("ledger.html of the book was not made again: ")

"""What the day and the last weeks say of books."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.runner.ledger.sample_book import SampleBook, write_book
from tests.unit.runner.nights.rows import morning

from qlib_shadow_runner.ledger import halts
from qlib_shadow_runner.ledger.overview import State, books, overview
from qlib_shadow_runner.nights.books import Books
from qlib_shadow_runner.nights.documents import snapshot_document, trend_document
from qlib_shadow_runner.nights.markdown import snapshot_page, trend_page

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 18, 6)  # noqa: DTZ001 - as the catalog has times


def books_of(ledgers: Path, now: datetime = NOW) -> Books:
    """Return the books in a folder."""
    return Books(now, [overview(ledgers / name) for name in books(ledgers)])


def kinds(found: Books) -> list[tuple[str, str]]:
    """Return what needs a person, and of which book."""
    return [(need.kind, need.book) for need in found.needs()]


def test_a_book_whose_nights_go_well_needs_no_person(tmp_path: Path):
    """It is a row of the page."""
    write_book(tmp_path, nights=12)
    found = books_of(tmp_path)
    assert kinds(found) == []
    page = snapshot_page(morning([]), found)
    assert "**Nothing needs a person.**" in page
    [row] = [line for line in page.splitlines() if line.startswith("| research/us-shadow")]
    assert row.startswith("| research/us-shadow | Decided | 2026-11-17 | ")
    assert row.endswith("| none | 0 | 0 | 0 |")


def test_what_needs_a_person_is_said_first(tmp_path: Path):
    """Damage, then halts, closed gates, late and missed nights."""
    write_book(tmp_path, "held", 12, held=(11,))
    write_book(tmp_path, "late", 12, late=(11,))
    write_book(tmp_path, "missed", 12, missed=(9,))
    write_book(tmp_path, "missed-long-ago", 12, missed=(2,))
    write_book(tmp_path, "stopped", 5)
    write_book(tmp_path, "torn", 2)
    (tmp_path / "torn" / "chain" / "000001.json").write_text("")
    halted = write_book(tmp_path, "halted", 12, held=(11,))
    halts.halt(halted.folder, "a strike", reducing=False, now=NOW.astimezone())
    found = books_of(tmp_path)
    assert kinds(found) == [
        ("damaged", "torn"),
        ("halted", "research/halted"),
        ("held", "research/held"),
        ("late", "research/late"),
        ("missed", "research/missed"),
        ("missed", "research/stopped"),
    ]
    page = snapshot_page(morning([]), found)
    assert "**6 things need a person.**" in page
    assert "- **research/held**, held (us-20261117): positions stay: the live IC has decayed." in page
    assert "| torn | Damaged |" in page
    halt = "no orders are recorded since 2026-11-18 06:00 UTC: a strike."
    assert f"{halt} `qlib-shadow ledger resume halted --why …` lifts it." in page
    [row] = [line for line in page.splitlines() if line.startswith("| research/halted")]
    assert row.endswith("| liveIc | 0 | 0 | 1 |")
    document: Any = snapshot_document(morning([]), found)
    assert [one["kind"] for one in document["bookNeeds"]] == [kind for kind, _ in kinds(found)]
    assert {one["book"]: one["state"] for one in document["books"]}["halted"] == State.HALTED


def test_a_halt_that_was_lifted_needs_no_person(tmp_path: Path):
    """The next night decides again; it is still said in the table that the last one was held."""
    gate = {"gate": "halt", "verdict": "closed", "sentence": "HALTED", "figure": "HALTED", "limit": "none"}
    SampleBook(tmp_path / "us-shadow").begin().decide(date(2026, 11, 17), "Held", gates=[gate])
    found = books_of(tmp_path)
    assert kinds(found) == []
    assert "| Held |" in snapshot_page(morning([]), found)


def test_a_book_that_rests_for_weeks_has_ended(tmp_path: Path):
    """As a series without runs has."""
    write_book(tmp_path, nights=12, held=(11,))
    found = books_of(tmp_path, NOW + timedelta(days=30))
    assert (kinds(found), found.awake, len(found.resting)) == ([], [], 1)
    assert "Books without a decision for long: 1." in snapshot_page(morning([]), found)


def test_books_that_cannot_be_listed_are_said():
    """First of all."""
    found = Books(NOW, (), "ledgers cannot be read (Permission denied)")
    assert "**books**, damaged: ledgers cannot be read (Permission denied)." in snapshot_page(
        morning([]), found
    )


def test_the_weeks_of_a_book_are_a_table(tmp_path: Path):
    """Only of books that were decided upon in them."""
    write_book(tmp_path, nights=12, held=(4,), late=(6,), missed=(8,))
    found = books_of(tmp_path)
    page = trend_page([], 2, found)
    assert "## Book research/us-shadow" in page
    [week] = [line for line in page.splitlines() if line.startswith("| 2026-11-09")]
    assert week.endswith("| 4 | 0 | 0 | 1 | 1 |")
    [document] = trend_document([], 2, found)
    weeks: Any = document["weeks"]
    assert [one["week"] for one in weeks] == ["2026-11-16", "2026-11-09"]
    later = books_of(tmp_path, NOW + timedelta(days=30))
    assert trend_document([], 2, later) == []
    assert "Book research/us-shadow has no day in these weeks; its last is 2026-11-17." in trend_page(
        [], 2, later
    )
    assert "has no day" not in page


@pytest.mark.parametrize("part", ["namespace", "sentence"])
def test_hostile_books_are_only_text(tmp_path: Path, part: str):
    """No link, no tag and no cell more in the page."""
    hostile = "](http://x)<script>|a|\n# head`"
    book = write_book(tmp_path, nights=2, namespace=hostile if part == "namespace" else "research")
    if part == "sentence":
        (book.folder / "HALT").write_text('{"state": "HALTED", "why": "](http://x)<script>|a|\\n# head`"}')
    page = snapshot_page(morning([]), books_of(tmp_path, datetime(2026, 11, 4)))  # noqa: DTZ001 - as above
    assert "<script" not in page
    assert "](" not in page.replace(r"\](", "")
    assert [line for line in page.splitlines() if line.startswith("# head")] == []
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in table} == {12}

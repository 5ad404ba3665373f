"""The books in the pages and over HTTP: what each address gives, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
from starlette.requests import Request
from tests.unit.runner.catalog.volumes import SmallVolume
from tests.unit.runner.ledger.sample_book import SampleBook, recent_weekday, write_book
from tests.unit.runner.report.test_book_page import EVIL, hostile_book
from tests.unit.runner.ui.conftest import served

from qlib_shadow_runner.contract import ARTIFACTS
from qlib_shadow_runner.ledger import halts
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.entries import LEDGERS, PORTFOLIO_FILE
from qlib_shadow_runner.ledger.overview import overview
from qlib_shadow_runner.storage.volume import Volume
from qlib_shadow_runner.ui.book_table import FRESH_SECONDS, BookTable
from qlib_shadow_runner.ui.books_api import BooksApi
from qlib_shadow_runner.ui.books_pages import BooksPages
from qlib_shadow_runner.ui.own_command import OwnCommand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.runner.ui.conftest import Served

NIGHTS: Final = 8
API: Final = "/api/books"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a volume with books in every state, whose last night was the last weekday."""
    small = SmallVolume(tmp_path_factory.mktemp("books") / "data")
    ledgers = small.data / ARTIFACTS / LEDGERS
    first = recent_weekday(NIGHTS - 1)
    states: dict[str, dict[str, Any]] = {
        "a-good": {}, "b-held": {"held": (7,)}, "c-sales": {"reducing": (7,)}, "d-late": {"late": (7,)},
        "e-missed": {"missed": (6,)}, "f-halted": {}, "g-damaged": {},
    }  # fmt: skip
    for name, how in states.items():
        write_book(ledgers, name, NIGHTS, first=first, **how)
    (ledgers / "g-damaged" / "BOOK.json").write_text("no JSON")
    (ledgers / "f-halted" / "HALT").write_text("")
    hostile_book(ledgers)
    SampleBook(ledgers / "h-empty", "h-empty").begin()
    (ledgers / "not a book").mkdir()
    (ledgers / PORTFOLIO_FILE).write_text('{"capital": 1000000, "shares": {"a-good": 0.5, "later": 0.2}}')
    for run_id, book in (("us-1", "h-empty"), ("us-2", "../x"), ("us-3", [EVIL])):
        small.add_run(run_id, 60, ledger={"result": {"book": book}})
    with served(small) as one:
        yield one


def ledgers_of(pages: Served) -> Path:
    """Return the folder of all books."""
    return pages.small.data / ARTIFACTS / LEDGERS


def got(pages: Served, path: str) -> Any:
    """Return the document at an address."""
    answer = pages.get(path)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json"), answer.text
    return json.loads(answer.body)


def test_what_books_need_comes_first_in_the_morning(pages: Served):
    """The most urgent first, each with its reason and a link; then all books with their states."""
    text = pages.get("/").text
    needs = re.findall(r'<span class="badge">([^<]+)</span> <a class="of" href="/book/([^"]+)">', text)
    assert [need for need in needs if need[1] != "evil"][:6] == [
        ("damaged", "g-damaged"), ("halted", "f-halted"), ("held", "b-held"), ("reducing", "c-sales"),
        ("late", "d-late"), ("missed", "e-missed"),
    ]  # fmt: skip
    assert "positions stay: the live IC has decayed." in text
    assert "<code>qlib-shadow ledger resume f-halted --why …</code> lifts it." in text
    assert text.index('id="h-needs"') < text.index('id="h-books"')
    badge = r'href="/book/([^"]+)">[^<]+</a>.*?<span class="badge [^"]*">(\w+)</span>'
    states = dict(re.findall(badge, text[text.index('id="h-books"') :], re.DOTALL))
    assert (states["a-good"], states["b-held"]) == ("Decided", "Held")


def test_all_books_are_listed_with_their_sum(pages: Served):
    """Damaged ones are not in it; the shares of the portfolio file stand below."""
    text = pages.get("/books").text
    total = got(pages, API)["total"]
    assert (total["books"], total["damaged"]) == (9, 1)
    assert f"{total['regions'][0]['nav']:,.0f}" in text
    assert re.findall(r'<th scope="row"><a href="/book/([^"]+)"', text) == [
        "a-good", "b-held", "c-sales", "d-late", "e-missed", "evil", "f-halted", "g-damaged", "h-empty",
    ]  # fmt: skip
    assert '<td data-label="State">not begun</td>' in text
    assert "not a book" not in text


def test_a_book_has_its_page_and_the_same_as_a_file(pages: Served):
    """The page has no style or script within; the file has, and may run none."""
    page, file = pages.get("/book/b-held"), pages.get("/book/b-held/ledger.html")
    assert 'id="chart-value"' in page.text
    assert 'id="chart-value"' in file.text
    assert re.findall(r"<style|style=|onclick", page.text) == []
    assert '<link rel="stylesheet" href="/static/book.css">' in page.text
    assert pages.get("/static/book.css").headers["content-type"].startswith("text/css")
    assert file.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "What to do" in pages.get("/book/g-damaged").text


def test_the_page_of_a_run_leads_to_its_book(pages: Served):
    """Where it says one; a name that no book can have is no link."""
    assert '<a href="/book/h-empty">the book h-empty</a>' in pages.get("/runs/us-1").text
    assert "the book" not in pages.get("/runs/us-2").text + pages.get("/runs/us-3").text


def test_runs_of_a_books_page_are_links_where_they_are_on_the_volume(tmp_path: Path):
    """Those that were removed, and all in the page as a file, are words."""
    small = SmallVolume(tmp_path / "data")
    write_book(small.data / ARTIFACTS / LEDGERS, nights=2)
    small.add_run("us-20261103", 60)
    with served(small) as one:
        page, file = one.get("/book/us-shadow").text, one.get("/book/us-shadow/ledger.html").text
    assert set(re.findall(r'<a href="/runs/([^"]+)"', page)) == {"us-20261103"}
    assert "us-20261102" in page
    assert 'href="/runs' not in file


def test_a_page_that_is_not_there_leads_back_to_its_list(pages: Served):
    """Of books to the books, of runs to the runs."""
    for path, back in (("/book/none", "/books"), ("/runs/none", "/runs"), ("/none", "/")):
        assert f'<a href="{back}">Back to' in pages.get(path).text


def test_the_api_gives_what_the_chain_has(pages: Served):
    """State, orders with their fills, positions, NAV and weeks."""
    chain = Chain.read(ledgers_of(pages) / "a-good")
    about = overview(ledgers_of(pages) / "a-good")
    assert got(pages, f"{API}/a-good") == json.loads(json.dumps(about.document()))
    assert [one["book"] for one in got(pages, API)["books"]][:2] == ["a-good", "b-held"]
    before = chain.decisions[-2].document
    orders = got(pages, f"{API}/a-good/orders?day={before['day']}")
    assert [one["id"] for one in orders["orders"]] == [one["id"] for one in before["orders"]]
    assert [one["order"] for one in orders["fills"]] == [one["id"] for one in before["orders"]]
    assert got(pages, f"{API}/a-good/orders")["day"] == about.decided
    assert got(pages, f"{API}/a-good/positions")["nav"] == about.nav
    assert [one["nav"] for one in got(pages, f"{API}/a-good/nav")] == [day.nav for day in about.days]
    assert len(got(pages, f"{API}/a-good/trend?weeks=3")) == 3
    assert len(got(pages, f"{API}/a-good/trend")) == 4


def test_a_book_is_verified_against_a_head(pages: Served):
    """Another head than the chain's is a finding; a damaged book has findings, and is no error."""
    head = got(pages, f"{API}/a-good")["head"]
    found = got(pages, f"{API}/a-good/verify?head={'0' * 64}")
    assert (found["sound"], found["prices"], found["head"]) == (False, None, head)
    assert found["headGiven"] == "0" * 64
    assert found["findings"]
    assert all("head" not in one for one in got(pages, f"{API}/a-good/verify?head={head}")["findings"])
    assert got(pages, f"{API}/g-damaged/verify")["sound"] is False


def test_one_book_is_computed_at_a_time(tmp_path: Path):
    """A second request is refused at once: it would keep a page from others."""
    table = BookTable(Volume(tmp_path))
    write_book(table.ledgers, nights=1)
    command = OwnCommand(tmp_path)
    api = BooksApi(table, command)
    asked = {"type": "http", "path": API, "query_string": b"", "headers": []}
    request = Request({**asked, "path_params": {"name": "us-shadow"}})
    with command.alone():
        assert api.verify(request).status_code == 503
        assert api.difference(request).status_code == 503
    assert api.verify(request).status_code == 200


@dataclass(frozen=True)
class Answers(OwnCommand):
    """Answers in place of the command, which needs a whole run."""

    def json(self, *words: str) -> Any:
        """Return a difference."""
        parts = dict.fromkeys(("data", "timing", "costs", "rules", "start"), 0.0) | {"signals": -0.0125}
        total = {"paper": 0.01, "backtest": 0.0225, "total": -0.0125, "band": 0.004, "beyond": True}
        return {"runId": EVIL, "from": "a", "to": "b", "days": 20, "parts": parts, "words": words, **total}


def test_a_difference_is_shown_with_its_parts(tmp_path: Path):
    """Each with what makes it; the run's id is only text."""
    table = BookTable(Volume(tmp_path))
    write_book(table.ledgers, nights=1)
    request = Request({"type": "http", "path_params": {"name": "us-shadow"}})
    text = bytes(BooksPages(table, Answers(tmp_path)).difference(request).body).decode()
    assert "beyond the band of 0.400%" in text
    assert re.findall(r'<th scope="row">(\w+)</th><td class="n loss"', text) == ["signals"]
    assert "signals of refitted models, not of the evaluated one" in text
    assert "<img" not in text


REFUSED: Final = {
    "/book/none": (404, "there is no book"),
    "/book/none/ledger.html": (404, "there is no book"),
    "/book/a-good/difference": (409, "no complete run of the book a-good"),
    "/book/..%2Fa-good": (404, "no such page"),
    "/book/A-GOOD": (404, "there is no book"),
    "/book/not%20a%20book": (404, "there is no book"),
    f"/book/{'x' * 5000}": (404, "there is no book"),
    f"{API}/none": (404, "there is no book"),
    f"{API}/none/verify": (404, "there is no book"),
    f"{API}/{quote(EVIL[:60])}": (404, "there is no"),
    f"{API}/a-good/orders?day=2026-13-01": (400, "the day must be one such as"),
    f"{API}/a-good/orders?day={'9' * 3000}": (400, "the day must be one such as"),
    f"{API}/a-good/orders?day=1999-01-04": (400, "decided nothing on 1999-01-04"),
    f"{API}/a-good/orders?dya=2026-11-02": (400, "takes day once"),
    f"{API}/a-good/orders?day=1&day=2": (400, "takes day once"),
    f"{API}/a-good/nav?x=1": (400, "takes no parameters"),
    f"{API}/a-good/trend?weeks=0": (400, "from 1 to 520"),
    f"{API}/a-good/trend?weeks=1e3": (400, "from 1 to 520"),
    f"{API}/a-good/trend?weeks=%D9%A3": (400, "from 1 to 520"),
    f"{API}/a-good/verify?head=xyz": (400, "64 hexadecimal digits"),
    f"{API}/a-good/diff": (400, "no complete run of the book a-good"),
    f"{API}/a-good/diff?run=-x": (400, "is not the id of a run"),
    f"{API}/a-good/diff?run=gone-1": (400, "gone-1"),
    f"{API}/g-damaged/diff": (409, "LedgerDamaged"),
    f"{API}/a-good/halt": (404, "no such page"),
    f"{API}/h-empty/orders": (400, "nothing is decided yet"),
    f"{API}/h-empty/positions": (400, "nothing is decided yet"),
    f"{API}/g-damaged/orders": (409, "LedgerDamaged"),
    f"{API}/g-damaged/nav": (409, "LedgerDamaged"),
}


@pytest.mark.parametrize("path", REFUSED)
def test_wrong_requests_are_refused_in_a_sentence(pages: Served, path: str):
    """With a status of their own, bounded, and never with a traceback."""
    status, sentence = REFUSED[path]
    answer = pages.get(path)
    assert (answer.status, sentence in answer.text) == (status, True), answer.text
    assert len(answer.text) < 3000
    assert "<img" not in answer.text or answer.headers["content-type"] == "application/json"


def test_nothing_is_written_by_a_request(pages: Served):
    """Other methods are refused, and no page changes a book."""

    def state() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in ledgers_of(pages).rglob("*")}

    before = state()
    for path in ("/books", "/book/a-good", f"{API}/a-good", f"{API}/a-good/verify", "/"):
        assert pages.get(path).status == 200
        assert pages.get(path, "POST").status == 405
    assert state() == before


def test_a_hostile_book_is_only_text_in_the_pages(pages: Served):
    """In the list, on its page, in the morning; JSON keeps what was written, as JSON."""
    for path in ("/", "/books", "/book/evil", "/book/evil/ledger.html"):
        text = pages.get(path).text
        assert "<img" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert got(pages, f"{API}/evil")["namespace"] == EVIL


def test_the_token_guards_the_books_too(tmp_path: Path):
    """No page and no document without it."""
    small = SmallVolume(tmp_path / "data")
    write_book(small.data / ARTIFACTS / LEDGERS, nights=2)
    with served(small, QLIB_SHADOW_UI_TOKEN="a-token-of-some-length") as one:
        for path in ("/books", "/book/us-shadow", API, f"{API}/us-shadow"):
            assert one.get(path).status == 401
            assert one.get(path, Authorization="Bearer a-token-of-some-length").status == 200


def test_a_volume_without_books_says_how_one_begins(tmp_path: Path):
    """And the morning has no word of them."""
    small = SmallVolume(tmp_path / "data")
    small.data.mkdir()
    with served(small) as one:
        assert "There are no books on this volume yet" in one.get("/books").text
        assert 'id="h-books"' not in one.get("/").text
        found = json.loads(one.get(API).body)
    assert (found["books"], found["total"]["regions"]) == ([], [])


def test_a_folder_of_books_that_cannot_be_read_is_told_of(tmp_path: Path):
    """First in the morning, and in place of the list."""
    small = SmallVolume(tmp_path / "data")
    (small.data / ARTIFACTS).mkdir(parents=True)
    (small.data / ARTIFACTS / LEDGERS).symlink_to("loop")
    (small.data / ARTIFACTS / "loop").symlink_to(LEDGERS)
    with served(small) as one:
        assert "1 thing needs a person" in one.get("/").text
        assert "the books cannot be listed: " in one.get("/").text
        assert "the books cannot be listed: " in one.get("/books").text
        assert one.get("/book/x").status == 404


def test_a_book_is_read_again_when_it_grows_and_now_and_then(tmp_path: Path):
    """Not for each page; an entry that is changed in place is seen later."""
    volume, now = Volume(tmp_path), [0.0]
    book = write_book(tmp_path / ARTIFACTS / LEDGERS, nights=2)
    table = BookTable(volume, lambda: now[0])
    first = table.view("us-shadow")
    assert table.view("us-shadow") is first
    book.fill(recent_weekday())
    second = table.view("us-shadow")
    assert second is not None
    assert second.overview.reconciled == str(recent_weekday())
    halts.halt(book.folder, "why", reducing=False, now=datetime(2026, 11, 5, tzinfo=UTC))
    assert table.overviews()[0].state == "Halted"
    entry = next((book.folder / "chain").iterdir())
    entry.write_bytes(entry.read_bytes() + b" ")
    assert table.overviews()[0].state == "Halted"
    now[0] += FRESH_SECONDS + 1
    assert table.overviews()[0].state == "Damaged"

"""`qlib-shadow query` over books: views made from the chains, whatever else lies in their folders."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.runner.ledger.sample_book import write_book

from qlib_shadow_runner.catalog.books import FIELDS, VIEWS, book_tables, no_book_tables
from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import ARTIFACTS
from qlib_shadow_runner.ledger.rows import COLUMNS
from qlib_shadow_runner.storage.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[[Path, str], Any]

PAGES = [(Path(__file__).parents[4] / "docs" / name).read_text() for name in ("catalog.md", "books.md")]
EXAMPLES = [
    line.split('"')[1]
    for page in PAGES
    for line in page.splitlines()
    if re.match("qlib-shadow query .* from ledger_", line)
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data folder with two books."""
    ledgers = tmp_path / "data" / ARTIFACTS / "ledgers"
    write_book(ledgers, "us-shadow", 6, held=(2,), late=(3,))
    write_book(ledgers, "cn-shadow", 3, namespace="other")
    return tmp_path / "data"


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Return a function that asks in SQL as a program does."""

    def run(data: Path, sql: str) -> Any:
        assert main(["query", sql, "--json", "--data", str(data)]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_each_view_has_its_columns_with_books_and_without(data: Path, tmp_path: Path, ask: Ask):
    """A volume without books has the same views, empty."""
    (tmp_path / "nothing").mkdir()
    faults: dict[Path, str] = {}
    with_books = book_tables(Volume(data), faults)
    without = book_tables(Volume(tmp_path / "nothing"), faults)
    assert faults == {}
    for tables in (with_books, without, no_book_tables()):
        assert tuple(tables) == VIEWS
        for view, table in tables.items():
            assert table.column_names == list(FIELDS if view == "books" else COLUMNS[view[len("ledger_") :]])
    assert [view for view, table in with_books.items() if not table.num_rows] == []
    assert {table.num_rows for table in without.values()} == {0}
    assert ask(tmp_path / "nothing", "select day from books join ledger_nav using (book)") == []


def test_books_are_rows_with_their_namespace(data: Path, ask: Ask):
    """All books of the volume, those of other namespaces as well."""
    rows = ask(data, "select namespace, book, state, decided, late_days from books order by book")
    assert rows == [
        {
            "namespace": "other",
            "book": "cn-shadow",
            "state": "Decided",
            "decided": "2026-11-04",
            "late_days": 0,
        },
        {
            "namespace": "research",
            "book": "us-shadow",
            "state": "Decided",
            "decided": "2026-11-09",
            "late_days": 1,
        },
    ]


def test_gates_orders_and_fills_are_joined_by_day(data: Path, ask: Ask):
    """Which gate held which day, and what each order came to."""
    assert ask(data, "select book, day, gate from ledger_gates where closed") == [
        {"book": "us-shadow", "day": "2026-11-04", "gate": "liveIc"}
    ]
    joined = (
        "select o.day, count(*) as orders, count(f.order_id) as filled from ledger_orders o "
        "left join ledger_fills f using (book, order_id) where book = 'us-shadow' group by o.day order by 1"
    )
    assert [(row["day"], row["orders"], row["filled"]) for row in ask(data, joined)] == [
        ("2026-11-02", 2, 2),
        ("2026-11-03", 2, 2),
        ("2026-11-05", 2, 0),
        ("2026-11-06", 2, 2),
        ("2026-11-09", 2, 0),
    ]
    sums = "select max(abs(n.nav - n.cash - p.value)) as off from ledger_nav n join (select book, day, "
    sums += "sum(value) as value from ledger_positions group by all) p using (book, day)"
    assert ask(data, sums)[0]["off"] < 1e-6


def test_the_examples_of_the_pages_answer(data: Path, ask: Ask):
    """As they stand there."""
    assert len(EXAMPLES) == 2
    assert [example for example in EXAMPLES if not ask(data, example)] == []


def test_parquet_in_the_folder_of_a_book_is_never_a_source(data: Path, ask: Ask):
    """A forged file changes no answer."""
    before = ask(data, "from ledger_nav order by book, day")
    tables = data / ARTIFACTS / "ledgers" / "us-shadow" / "tables"
    tables.mkdir()
    pq.write_table(pa.table({"nav": [1e9]}), tables / "nav.parquet")
    assert ask(data, "from ledger_nav order by book, day") == before


def test_a_damaged_book_is_named_and_left_out_of_its_tables(data: Path, capsys: pytest.CaptureFixture[str]):
    """The view of books has it, with what is wrong."""
    (data / ARTIFACTS / "ledgers" / "us-shadow" / "chain" / "000003.json").write_text("{")
    sql = (
        "select b.book, b.state, count(d.day) as days from books b left join ledger_decisions d using (book)"
    )
    assert main(["query", f"{sql} group by all order by 1", "--json", "--data", str(data)]) == 0
    printed = capsys.readouterr()
    assert [(row["book"], row["state"], row["days"]) for row in json.loads(printed.out)] == [
        ("cn-shadow", "Decided", 3),
        ("us-shadow", "Damaged", 0),
    ]
    assert printed.err.startswith(f"note: {data / ARTIFACTS}/ledgers/us-shadow is damaged (")
    assert printed.err.endswith("so it has no days here\n")


def test_a_query_that_names_no_book_reads_none(data: Path, capsys: pytest.CaptureFixture[str]):
    """Nor does a book delay or note anything then."""
    (data / ARTIFACTS / "ledgers" / "us-shadow" / "chain" / "000003.json").write_text("{")
    assert main(["query", "from runs", "--data", str(data)]) == 0
    assert capsys.readouterr().err == ""

"""A book of years: what is in memory does not grow with its days, but for a few figures of each."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from tests.unit.runner.conftest import weekdays
from tests.unit.runner.ledger.sample_book import FIRST, SampleBook, write_book

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger import tables
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.overview import overview
from qlib_shadow_runner.report.book.page import book_view

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WIDE = 1000
"""Instruments of a day."""


def wide_book(ledgers: Path, nights: int) -> Path:
    """Return the folder of a book whose days have many targets."""
    book = SampleBook(ledgers / f"of-{nights}", f"of-{nights}").begin()
    for number, day in enumerate(weekdays(nights, FIRST)):
        if number:
            book.fill(day)
        book.decide(day, targets={f"S{name}": 0.001 * name + number for name in range(WIDE)})
    return book.folder


def peak_of(what: Callable[[], object]) -> int:
    """Return the most memory that something takes."""
    tracemalloc.start()
    try:
        what()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("read", [Chain.read, overview, book_view, tables.write_tables])
def test_twice_the_days_take_no_more_memory(tmp_path: Path, read: Callable[[Path], object]):
    """Only the last few documents are whole in memory; those of all days would double it."""
    short, long = wide_book(tmp_path, 15), wide_book(tmp_path, 30)
    read(short)  # what is loaded and kept once
    assert peak_of(lambda: read(long)) < 1.4 * peak_of(lambda: read(short))


def test_tables_in_several_parts_have_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A part ends between two days."""
    folder = write_book(tmp_path, nights=8).folder
    tables.write_tables(folder)
    path = folder / "tables" / "gates.parquet"
    before = pq.read_table(path)
    monkeypatch.setattr(tables, "ROWS", 6)
    assert "gates" in tables.write_tables(folder)
    assert pq.ParquetFile(path).num_row_groups == 4
    assert pq.read_table(path).equals(before)


def test_a_file_that_changes_after_it_was_read_is_not_believed(tmp_path: Path):
    """Its hash is that of the chain no more."""
    folder = write_book(tmp_path, nights=3).folder
    chain = Chain.read(folder)
    (folder / chain.entries[0].path).write_bytes(b"{}")
    (folder / chain.entries[1].path).unlink()
    for entry, says in zip(
        chain.entries, ("was changed after it was read", "was there and is gone"), strict=False
    ):
        with pytest.raises(StageError, match=says) as caught:
            _ = entry.document
        assert caught.value.reason is Reason.LEDGER_DAMAGED

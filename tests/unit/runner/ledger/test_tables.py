"""A book's Parquet files: made from its chain at any time, and never believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.runner.ledger.sample_book import write_book

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.tables import SCHEMAS, refresh_tables, write_tables
from qlib_shadow_runner.storage.files import fenced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a small book."""
    return write_book(tmp_path, nights=4, held=(2,)).folder


def read(folder: Path, name: str) -> list[dict[str, object]]:
    """Return the rows of a table."""
    rows: list[dict[str, object]] = pq.read_table(folder / "tables" / f"{name}.parquet").to_pylist()
    return rows


def test_tables_hold_what_the_chain_says(folder: Path):
    """A row for each decision, gate, order, fill, position and day."""
    assert refresh_tables(folder) is None
    assert sorted(path.stem for path in (folder / "tables").iterdir()) == sorted(SCHEMAS)
    decisions = read(folder, "decisions")
    assert [row["decision"] for row in decisions] == ["Decided", "Decided", "Held", "Decided"]
    assert [row["gates_closed"] for row in decisions] == [0, 0, 1, 0]
    [closed] = [row for row in read(folder, "gates") if row["closed"]]
    assert (closed["gate"], closed["sentence"]) == ("liveIc", "the live IC has decayed")
    orders, fills = read(folder, "orders"), read(folder, "fills")
    assert {row["order_id"] for row in fills} <= {row["order_id"] for row in orders}
    nav = read(folder, "nav")
    assert [f"{row['day']}" for row in nav] == ["2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05"]
    assert (nav[0]["nav"], nav[0]["pnl"], nav[0]["counts"]) == (100_000.0, None, None)
    last = [row for row in read(folder, "positions") if row["day"] == nav[-1]["day"]]
    assert sum(row["value"] for row in last) + nav[-1]["cash"] == pytest.approx(nav[-1]["nav"])  # type: ignore[misc,operator]


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        lambda path: pq.write_table(pa.table({"nav": [1e9]}), path),
        lambda path: pq.write_table(pq.read_table(path).slice(1), path),
    ],
    ids=["missing", "cut", "of another form", "forged"],
)
def test_a_table_that_is_not_of_the_chain_is_made_again(folder: Path, harm: Callable[[Path], object]):
    """Alone: the others are left as they are."""
    assert sorted(write_tables(folder)) == sorted(SCHEMAS)
    path = folder / "tables" / "nav.parquet"
    before = path.read_bytes()
    harm(path)
    assert write_tables(folder) == ["nav"]
    assert path.read_bytes() == before
    assert write_tables(folder) == []


def test_a_link_in_place_of_a_table_is_replaced_and_not_followed(folder: Path, tmp_path: Path):
    """What it leads to stays as it is."""
    write_tables(folder)
    target = tmp_path / "precious"
    target.write_text("mine")
    path = folder / "tables" / "nav.parquet"
    path.unlink()
    path.symlink_to(target)
    assert write_tables(folder) == ["nav"]
    assert (target.read_text(), path.is_symlink()) == ("mine", False)


def test_tables_that_cannot_be_made_fail_no_stage(folder: Path):
    """A file or a link in the way, and a damaged chain: one sentence, and nothing else."""
    (folder / "tables").write_text("")
    assert "tables of the book were not made again" in (refresh_tables(folder) or "")
    (folder / "tables").unlink()
    (folder / "tables").symlink_to(folder / "chain")
    assert "is a link" in (refresh_tables(folder) or "")
    (folder / "tables").unlink()
    (folder / "chain" / "000003.json").unlink()
    assert "000003" in (refresh_tables(folder) or "")
    assert not (folder / "tables").exists()


def test_a_superseded_attempt_ends_there(folder: Path):
    """Its replacement is at work, so that it may write nothing more."""

    def check() -> None:
        raise StageError(Reason.SUPERSEDED, "another attempt is at work")

    with fenced(check), pytest.raises(StageError, match="another attempt"):
        refresh_tables(folder)

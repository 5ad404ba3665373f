"""A small Parquet file does not become gigabytes: it is refused before its values are decoded."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.runner.special_files import DAMAGES, replace

from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.storage.untrusted_tables import TableLimits, read_table, table_fault

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = pa.schema(
    [("name", pa.string()), ("score", pa.float64()), ("more", pa.map_(pa.string(), pa.float64()))]
)
LIMITS = TableLimits(rows=100_000, size=1 << 24)


def write(path: Path, rows: int, text: str = "x", key: str = "k") -> None:
    """Write a table in which every row is the same, so that it has few bytes."""
    names = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
    keys = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([key]))
    numbers = pa.array([1.0] * rows)
    pairs = pa.MapArray.from_arrays(list(range(rows + 1)), keys, numbers)
    table = pa.table({"name": names, "score": numbers, "more": pairs})
    pq.write_table(table, path, store_schema=False, compression="zstd")


def peak() -> int:
    """Return the largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def test_a_table_within_the_limits_is_read(tmp_path: Path):
    """As it was written."""
    write(tmp_path / "a", 1000)
    assert table_fault(tmp_path, "a", SCHEMA, LIMITS) is None
    assert read_table(tmp_path, "a", SCHEMA, LIMITS).num_rows == 1000


BOMBS = {
    "many rows": ({"rows": 200_000}, "has 200,000 rows; it may have 100,000"),
    "a long text that repeats": (
        {"rows": 99_000, "text": "x" * 100_000},
        "has 9.2 GiB of texts; it may have 16.0 MiB",
    ),
    "a long key that repeats": (
        {"rows": 99_000, "key": "x" * 100_000},
        "has 9.2 GiB of texts; it may have 16.0 MiB",
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_table_that_expands_is_refused_with_little_memory(tmp_path: Path, bomb: str):
    """It has less than 100 KB on the disk, and would have gigabytes in memory."""
    arguments, sentence = BOMBS[bomb]
    write(tmp_path / "a", **arguments)  # type: ignore[arg-type]
    assert (tmp_path / "a").stat().st_size < 100_000
    before = peak()
    assert table_fault(tmp_path, "a", SCHEMA, LIMITS) == sentence
    with pytest.raises(DamagedFileError, match=sentence):
        read_table(tmp_path, "a", SCHEMA, LIMITS)
    assert peak() - before < 200


def test_other_columns_are_refused(tmp_path: Path):
    """Whatever they hold: a reader would decode them."""
    pq.write_table(pa.table({"score": [1.0]}), tmp_path / "a")
    assert (
        table_fault(tmp_path, "a", SCHEMA, LIMITS) == "has the columns score, not those that it should have"
    )


@pytest.mark.parametrize("damage", [*DAMAGES, "cut", "footer", "a page"])
def test_a_damaged_table_is_refused_with_a_sentence(tmp_path: Path, damage: str):
    """A page in its middle is noticed when it is read."""
    write(tmp_path / "a", 1000)
    content = (tmp_path / "a").read_bytes()
    cuts = {
        "cut": content[:-1],
        "footer": content[:-8] + b"\xff\xff\xff\x7fPAR1",
        "a page": content[:10] + bytes(60) + content[70:],
    }
    if damage in cuts:
        (tmp_path / "a").write_bytes(cuts[damage])
    else:
        replace(tmp_path / "a", damage)
    assert damage == "a page" or table_fault(tmp_path, "a", SCHEMA, LIMITS)
    with pytest.raises(DamagedFileError) as found:
        read_table(tmp_path, "a", SCHEMA, LIMITS)
    assert str(found.value).startswith(f"{tmp_path}/a ")
    assert len(str(found.value).splitlines()) == 1

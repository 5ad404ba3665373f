"""Any number, date or letter in a price file or in the name of an archive's member ends in a sentence."""

from __future__ import annotations

import io
import tarfile
import zipfile
from datetime import time
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.runner.dataset.prices.test_damaged_files import BARS, CSV
from tests.unit.runner.hostile.hostile_values import DATES, LETTERS, LONGEST, NUMBERS, is_seen, some

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.price_files import BadRows, PricesSpec
from qlib_shadow_runner.dataset.archive.unpack import unpack
from qlib_shadow_runner.dataset.prices.ingest import ingest
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOLD: Final = {Reason.DATASET_INVALID, Reason.ARCHIVE_INVALID, Reason.INVALID_SPEC}
COLUMNS: Final = CSV.splitlines()[0].split(",")
FAR: Final = 2**62
SPECS: Final = (
    PricesSpec(path="inbox"),
    PricesSpec(path="inbox", bad_rows=BadRows.DROP),
    PricesSpec(path="inbox", timezone="America/New_York", columns={"extra": ["pe"], "universes": ["sp500"]}),
)
TYPED: Final[dict[str, pa.Array]] = {
    "whole numbers": pa.array([FAR, -FAR], pa.int64()),
    "unsigned": pa.array([2**64 - 1, 0], pa.uint64()),
    "floats": pa.array([np.inf, np.nan], pa.float64()),
    "huge floats": pa.array([1e308, -1e308], pa.float64()),
    "milliseconds": pa.array([FAR, -FAR], pa.timestamp("ms")),
    "microseconds": pa.array([FAR, -FAR], pa.timestamp("us", "UTC")),
    "nanoseconds": pa.array([FAR, -FAR], pa.timestamp("ns", "America/New_York")),
    "days": pa.array([2**31 - 1, -(2**31)], pa.date32()),
    "milliseconds of days": pa.array([FAR, -FAR], pa.date64()),
    "decimals": pa.array([Decimal("9" * 38), Decimal(0)], pa.decimal128(38, 0)),
    "large decimals": pa.array([Decimal("9" * 76), Decimal(0)], pa.decimal256(76, 0)),
    "durations": pa.array([FAR, -FAR], pa.duration("s")),
    "times": pa.array([time(1), None], pa.time64("us")),
    "booleans": pa.array([True, False]),
    "bytes": pa.array([b"\x1b[2J", b"\xff"]),
    "lists": pa.array([[1], []]),
    "nothing": pa.nulls(2),
    "texts": pa.array(["\x1b[2J\u202e", "9" * 5_000]),
}
"""Two values of each type that a column of Parquet can have."""


def fault(do: Callable[[], object]) -> str | None:
    """Return what is wrong with how it ended, or None."""
    try:
        do()
    except StageError as error:
        good = error.reason in TOLD and len(error.message) <= LONGEST * 2
        return None if good and is_seen(error.message) and "\n" not in error.message else repr(error)[:500]
    return None


def converted(path: Path, folder: Path, spec: PricesSpec) -> None:
    """Convert a file of prices into a folder of its own."""
    made = folder / f"{path.name}-{len(list(folder.iterdir()))}"
    made.mkdir()
    ingest([path], [path.name], made, spec)


def test_any_value_in_a_cell_or_a_head_of_csv_is_told_or_taken(tmp_path: Path):
    """In each column; a ticker may be anything that a person types."""
    rows = [line.split(",") for line in CSV.splitlines()]
    path = tmp_path / "bars.csv"
    faults: list[object] = []
    cases = list(product((0, 5), range(len(COLUMNS)), (*NUMBERS, *DATES, *LETTERS), SPECS))
    for row, column, value, spec in some(cases, 90):
        changed = [list(one) for one in rows]
        changed[row][column] = value
        path.write_text("\n".join(",".join(one) for one in changed) + "\n", encoding="utf-8")
        if told := fault(lambda asked=spec: converted(path, tmp_path / "made", asked)):  # type: ignore[misc]
            faults.append((row, COLUMNS[column], value[:40], told))
    assert not faults, "\n".join(map(str, faults))


@pytest.fixture(autouse=True)
def made(tmp_path: Path) -> None:
    """Make the folder for what is converted."""
    (tmp_path / "made").mkdir()


def test_any_type_in_a_column_of_parquet_is_told_or_taken(tmp_path: Path):
    """The largest and the smallest value of each type."""
    whole = pa.Table.from_pandas(BARS, preserve_index=False)
    half = len(whole) // 2
    path = tmp_path / "bars.parquet"
    faults: list[object] = []
    for (name, pair), column, spec in some(list(product(TYPED.items(), COLUMNS, SPECS)), 80):
        values: Any = pa.concat_arrays([pair.take(pa.array([0] * half)), pair.take(pa.array([1] * half))])
        pq.write_table(whole.set_column(COLUMNS.index(column), column, values), path, version="2.6")
        if told := fault(lambda asked=spec: converted(path, tmp_path / "made", asked)):  # type: ignore[misc]
            faults.append((name, column, spec, told))
    assert not faults, "\n".join(map(str, faults))


def test_day_of_a_far_year_is_not_taken_for_another_day(tmp_path: Path):
    """Arrow counts days with 32 bits, and after the last one begins again."""
    table = pa.Table.from_pandas(BARS, preserve_index=False)
    far = pa.array([(2**32 + 19_000) * 86_400] * len(table), pa.timestamp("s"))
    path = tmp_path / "bars.parquet"
    pq.write_table(table.set_column(0, "date", far.cast(pa.timestamp("ms"))), path)
    with pytest.raises(StageError, match="days lie from 1900 to 2099"):
        converted(path, tmp_path / "made", SPECS[0])


def zipped(name: str) -> bytes:
    """Pack a zip with a member of this name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"x")
        archive.writestr("calendars/day.txt", b"2020-01-01\n")
    return buffer.getvalue()


def tarred(name: str) -> bytes:
    """Pack a tar with a member of this name, which is a link."""
    buffer = io.BytesIO()
    with tarfile.open(mode="w", fileobj=buffer) as archive:
        member = tarfile.TarInfo(name)
        member.type = tarfile.SYMTYPE
        archive.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("place", ["{}", "../{}", "a/{}/../..", "features/{}/close.day.bin"])
def test_any_letters_in_the_name_of_a_member_are_told_as_escapes(
    pack: Callable[[str], bytes], place: str, tmp_path: Path
):
    """The sentence names the member, and a terminal shows each of its letters."""
    archive, folder = tmp_path / "us.zip", tmp_path / "made"
    faults: list[object] = []
    for letters in (*LETTERS, "n" * 5_000):
        archive.write_bytes(pack(place.replace("{}", letters)))
        with pytest.raises(StageError):
            unpack(archive, folder, archive.name)
        if told := fault(lambda: unpack(archive, folder, archive.name)):
            faults.append((letters, told))
    assert not faults, "\n".join(map(str, faults))

"""A damaged price file ends in an error sentence or in a valid dataset, never in a traceback."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from qlib_shadow_runner.contract.spec.price_files import BadRows, Duplicates, PricesSpec
from qlib_shadow_runner.dataset.prices.ingest import ingest
from qlib_shadow_runner.dataset.verification import verify_dataset
from qlib_shadow_runner.errors import StageError

ROUNDS = int(os.environ.get("QLIB_SHADOW_CHAOS_FILES", "50"))
DAYS = pd.bdate_range("2024-01-01", periods=12)
BARS = pd.DataFrame(
    {
        "date": day,
        "symbol": symbol,
        "open": 1.0,
        "high": 2.0,
        "low": 1.0,
        "close": 1.5,
        "volume": 9,
        "adj_close": 1.2,
        "pe": 20.0,
        "sp500": 1,
    }
    for day in DAYS
    for symbol in ("AAA", "B/C", "^GSPC")
)
CSV = BARS.to_csv(index=False)
WIDE = BARS.pivot_table(index="date", columns="symbol").to_csv()
PARQUET = BARS.to_parquet(index=False)
CELLS = [
    "",
    "NA",
    "nan",
    "inf",
    "1e400",
    "1e-320",
    "-1",
    "0",
    "x",
    '"',
    '"a',
    ";",
    "\n",
    "\r",
    "\0",
    "é",
    "../",
    "9" * 400,
    "05/01/2024",
    "2024-01-02 15:00+00:00",
    "1704153600",
    "Ticker",
]
COLUMNS = {"extra": ("pe",), "universes": ("sp500",)}

options = st.builds(
    PricesSpec,
    path=st.just("inbox"),
    duplicates=st.sampled_from(Duplicates),
    bad_rows=st.sampled_from(BadRows),
    columns=st.sampled_from([{}, COLUMNS]),
    timezone=st.sampled_from([None, "Asia/Tokyo"]),
)


def try_it(name: str, content: bytes, chosen: PricesSpec) -> None:
    """Convert; what is converted must verify."""
    with tempfile.TemporaryDirectory() as place, contextlib.suppress(StageError):
        source, folder = Path(place, name), Path(place, "out")
        source.write_bytes(content)
        folder.mkdir()
        ingest([source], [name], folder, chosen)
        try:
            verify_dataset(folder)
        except StageError as fault:
            raise AssertionError(fault.message) from fault


@settings(max_examples=ROUNDS, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 36), st.integers(0, 9), st.sampled_from(CELLS)), min_size=1, max_size=3
    ),
    text=st.sampled_from([CSV, WIDE]),
    chosen=options,
)
def test_random_cells_end_in_an_error_or_a_valid_dataset(
    changes: list[tuple[int, int, str]], text: str, chosen: PricesSpec
):
    """A text file with a few cells replaced."""
    rows = [line.split(",") for line in text.splitlines()]
    for row, column, cell in changes:
        rows[row % len(rows)][column] = cell
    try_it("bars.csv", "\n".join(",".join(row) for row in rows).encode(), chosen)


@settings(max_examples=ROUNDS, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4
    ),
    length=st.one_of(st.just(1.0), st.floats(0, 1)),
    kind=st.sampled_from(["csv", "parquet"]),
    chosen=options,
)
def test_random_bytes_end_in_an_error_or_a_valid_dataset(
    changes: list[tuple[float, int]], length: float, kind: str, chosen: PricesSpec
):
    """A file with a few bytes replaced, or cut short."""
    content = bytearray(CSV.encode() if kind == "csv" else PARQUET)
    for place, value in changes:
        content[int(place * len(content))] = value
    try_it(f"bars.{kind}", bytes(content[: int(length * len(content))]), chosen)

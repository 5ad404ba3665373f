"""Qlib's own reader returns the input prices, whichever bars are missing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlib_shadow_runner.contract.spec.price_files import Adjust, PricesSpec
from qlib_shadow_runner.dataset.prices.ingest import ingest
from qlib_shadow_runner.dataset.quality.survey import survey
from qlib_shadow_runner.dataset.verification import verify_dataset

if TYPE_CHECKING:
    from collections.abc import Callable

PRICES = ["open", "high", "low", "close", "vwap"]
NAMES = ["AAPL", "BRK.B", "^GSPC", "CON", "000001", "TRUE", "NAN.X"]


@st.composite
def markets(draw: st.DrawFn) -> pd.DataFrame:
    """Draw symbols that list late, pause and delist, with factors that change now and then."""
    calendar = pd.bdate_range("2021-03-01", periods=draw(st.integers(2, 30)))
    symbols = ["HELD", *draw(st.lists(st.sampled_from(NAMES), max_size=4, unique=True))]
    price = st.floats(0.0078125, 65536, width=32)
    rows = []
    for symbol in symbols:
        days = sorted(draw(st.sets(st.integers(0, len(calendar) - 1), min_size=1)))
        for day in days:
            low, high = sorted((draw(price), draw(price)))
            rows.append(
                {
                    "date": calendar[day],
                    "symbol": symbol,
                    "open": low,
                    "high": high,
                    "low": low,
                    "close": draw(st.sampled_from([low, high])),
                    "vwap": high,
                    "volume": float(draw(st.integers(1, 2**40))),
                    "factor": draw(st.sampled_from([1.0, 0.5, 0.25, 1.7])),
                }
            )
    return pd.DataFrame(draw(st.permutations(rows)))


def convert(frame: pd.DataFrame, options: PricesSpec, shape: str) -> Path:
    """Convert a market and verify what came out."""
    place = Path(tempfile.mkdtemp())
    files = write(frame, place / "in", *shape.split())
    folder = place / "us"
    folder.mkdir()
    ingest(files, [file.name for file in files], folder, options)
    verify_dataset(folder)
    assert {finding.name: finding.count for finding in survey(folder)}["bin_bounds"] == 0
    return folder


SHAPES = ["parquet long", "csv long", "parquet apart", "csv apart"]
"""The kind of file, and whether one file holds all symbols or one each, whose name is the symbol."""


def write(frame: pd.DataFrame, home: Path, kind: str, attempt_path: str) -> list[Path]:
    """Write the bars as people have them."""
    home.mkdir()
    parts = {"bars": frame}
    if attempt_path == "apart":
        parts = {str(name): bars.drop(columns="symbol") for name, bars in frame.groupby("symbol")}
    for name, bars in parts.items():
        path = home / f"{name}.{kind}"
        bars.to_csv(path, index=False) if kind == "csv" else bars.to_parquet(path, index=False)
    return sorted(home.iterdir())


def aligned(found: pd.DataFrame, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put both in one order, and check that Qlib has nothing but the input's bars and gaps between them."""
    found = found.rename(columns=lambda name: str(name).lstrip("$")).rename(
        columns={"datetime": "date", "instrument": "symbol"}
    )
    kept = found[found["close"].notna()].sort_values(["symbol", "date"]).reset_index(drop=True)
    given_bars = frame.sort_values(["symbol", "date"]).reset_index(drop=True)
    assert kept["symbol"].astype(str).tolist() == given_bars["symbol"].tolist()
    assert (
        kept["date"].astype("datetime64[ns]").tolist() == given_bars["date"].astype("datetime64[ns]").tolist()
    )
    gaps = found[found["close"].isna()]
    assert gaps.drop(columns=["date", "symbol"]).isna().all(axis=None)
    return kept, given_bars


RELAXED = settings(
    max_examples=int(os.environ.get("QLIB_SHADOW_CHAOS_FILES", "10")),
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


@RELAXED
@given(frame=markets(), shape=st.sampled_from(SHAPES))
def test_qlib_reads_random_unadjusted_prices_to_the_bit(
    frame: pd.DataFrame, shape: str, read_by_qlib: Callable[[Path], pd.DataFrame]
):
    """With adjust: none, every figure is the input's, as float32."""
    folder = convert(frame, PricesSpec("inbox", adjust=Adjust.NONE), shape)
    found, bars = aligned(read_by_qlib(folder), frame)
    for field in [*PRICES, "volume"]:
        np.testing.assert_array_equal(found[field], bars[field].astype("float32"), err_msg=field)
    assert (found["factor"] == 1).all()


@RELAXED
@given(frame=markets(), shape=st.sampled_from(SHAPES), by=st.sampled_from([Adjust.FACTOR, Adjust.ADJ_CLOSE]))
def test_qlib_reads_random_adjusted_prices_and_returns(
    frame: pd.DataFrame, shape: str, by: Adjust, read_by_qlib: Callable[[Path], pd.DataFrame]
):
    """Dividing by the factor gives the raw price; change is the adjusted return; the first close is 1."""
    with_both = frame.assign(adj_close=frame["close"] * frame["factor"])
    reported = with_both.drop(columns="factor") if by is Adjust.ADJ_CLOSE else frame
    folder = convert(reported, PricesSpec("inbox"), shape)
    found, bars = aligned(read_by_qlib(folder), frame)
    for field in PRICES:
        np.testing.assert_allclose(found[field] / found["factor"], bars[field], rtol=1e-6, err_msg=field)
    np.testing.assert_allclose(found["volume"] * found["factor"], bars["volume"], rtol=1e-6)
    adjusted = bars["close"] * bars["factor"]
    before = adjusted.groupby(bars["symbol"]).shift()
    first = before.isna()
    np.testing.assert_array_equal(found["close"][first], np.float32(1))
    assert found["change"][first].isna().all()
    np.testing.assert_allclose(found["change"][~first], (adjusted / before - 1)[~first], rtol=1e-5, atol=1e-6)

"""Fields and universes that are made of columns of price files are computed as Qlib computes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tests.unit.runner.plugins.side_by_side import by_qlib, by_us, named, open_dataset, require_same

from qlib_shadow_runner.contract.spec.price_files import PricesSpec
from qlib_shadow_runner.dataset.prices.ingest import ingest

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = {"feature": named("$pe", "Mean($pe, 3)/$close", "Ref($pe, 1) - $pe", "If($pe > 20, $close, 0.5)")}


def test_own_fields_in_a_universe_that_changes_equal_qlibs(tmp_path: Path):
    """Bit by bit, with missing values and periods of membership."""
    random = np.random.default_rng(3)
    days = pd.bdate_range("2024-01-02", periods=40)
    bars = pd.DataFrame(
        [(day, symbol) for symbol in ("AAA", "BBB", "CCC") for day in days], columns=["date", "symbol"]
    )
    close = random.uniform(5, 50, len(bars))
    pe = np.where(random.random(len(bars)) < 0.3, np.nan, random.normal(20, 5, len(bars)))
    bars = bars.assign(open=close, high=close, low=close, close=close, volume=1000, pe=pe)
    bars["sp500"] = np.repeat(random.random(len(bars) // 5) < 0.6, 5)
    bars.to_parquet(tmp_path / "bars.parquet")
    folder = tmp_path / "us"
    folder.mkdir()
    options = PricesSpec("inbox", columns={"extra": ("pe",), "universes": ("sp500",)})
    ingest([tmp_path / "bars.parquet"], ["bars.parquet"], folder, options)
    open_dataset(folder)
    asked = ({"market": "sp500", "filter_pipe": []}, days[3], days[-2])
    ours, _ = by_us(CONFIG, *asked)
    require_same(by_qlib(CONFIG, *asked), ours)
    assert len(ours) == bars["sp500"][bars["date"].between(days[3], days[-2])].sum()

"""Five stocks whose index goes on for five years after them, from the smallest manifest to PASS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from tests.unit.runner.report.pages import read_page

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST: Final = """\
apiVersion: qlibshadow.io/v1alpha1
kind: QlibShadowRun
metadata: {name: five}
spec: {dataset: {source: {prices: {path: inbox/bars.csv}}}}
"""
STOCKS: Final = ("AAPL", "MSFT", "IBM", "AMZN", "GOOG")
TRADED, MORE = 500, 1_260


def bars() -> pd.DataFrame:
    """Return prices in cents with calm and wild times, a dividend, a split, and a stock that begins later."""
    random, days = np.random.default_rng(11), pd.bdate_range("2011-06-01", periods=TRADED + MORE)
    wild = 0.008 + 0.012 * (np.sin(np.arange(len(days)) / 40) ** 2)
    market = random.standard_t(5, len(days)) * wild / 1.3
    tables = []
    for number, symbol in enumerate([*STOCKS, "^GSPC"]):
        first, last = (120 if symbol == "GOOG" else 0), (len(days) if symbol == "^GSPC" else TRADED)
        own = 0 if symbol == "^GSPC" else random.standard_t(5, len(days)) * 0.01
        adjusted = (20 + 30 * number) * np.exp(np.cumsum(market + own))[first:last]
        close = np.where(np.arange(first, last) < 300, 1.01, 1) * adjusted  # a dividend of 1%
        close = np.where((np.arange(first, last) < 200) & (symbol == "AAPL"), 2, 1) * close  # a split
        spread = 1 + random.uniform(0.002, 0.01, len(close))
        columns = {"Open": close * random.uniform(0.998, 1.002, len(close)), "High": close * spread}
        columns |= {"Low": close / spread, "Close": close, "Adj Close": adjusted}
        table = pd.DataFrame(columns).round(2).assign(Date=days[first:last], Symbol=symbol)
        tables.append(table.assign(Volume=random.integers(2_000_000, 9_000_000, len(close))))
    return pd.concat(tables)


def test_five_stocks_whose_index_goes_on_pass_where_they_trade(tmp_path: Path):
    """The test segment ends with the stocks; each of its days has returns and signals of them."""
    inbox, file = tmp_path / "data/inbox", tmp_path / "five.yaml"
    inbox.mkdir(parents=True)
    bars().to_csv(inbox / "bars.csv", index=False)
    file.write_text(MANIFEST)
    command = [sys.executable, "-m", "qlib_shadow_runner", "run", str(file), "--data", str(tmp_path / "data")]
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "golden run: PASS (" in done.stdout
    [folder] = (tmp_path / "data/artifacts/trading-ops/qlib-shadow").glob("five-*")
    metadata = json.loads((folder / "RUN_METADATA.json").read_bytes())
    days = pd.bdate_range("2011-06-01", periods=TRADED + MORE)
    assert metadata["segments"]["test"][1] == metadata["signals_last"] == f"{days[TRADED - 1]:%Y-%m-%d}"
    assert (metadata["dataset_end"], metadata["benchmark"]) == (f"{days[-1]:%Y-%m-%d}", "^GSPC")
    assert any("^GSPC goes on to" in caveat for caveat in metadata["caveats"])
    signals = pd.read_parquet(folder / "signals_ranked.parquet")
    test = days[days.slice_indexer(*metadata["segments"]["test"])]
    assert signals["date"].nunique() == len(test) > 20
    assert set(signals["instrument"]) == set(STOCKS)
    account = pd.read_parquet(folder / "tables/account.parquet")
    assert (account["return"] != 0).mean() > 0.8
    page = read_page((folder / "report.html").read_text())
    assert [row[0] for row in page.tables["table-segments"][1:]] == ["train", "valid", "test"]
    assert "frozen holdings" not in page.text

"""How fast prices become a dataset: ours against a plain pandas loop, in one go on one machine.

`make bench-ingest`, or `python tests/bench/ingest.py --symbols 500 --years 15`. Each way runs in a
process of its own, so that its peak memory is its own; the outputs are compared byte for byte where
both write the same, and as numbers where the order of float operations may differ.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TRADING_DAYS = 252
COLUMNS = ["open", "high", "low", "close", "volume"]


def generate(path: Path, *, symbols: int, days: int, seed: int = 7) -> int:
    """Write made-up raw bars with adjusted closes, late listings and gaps, day after day; give the rows."""
    rng = np.random.default_rng(seed)
    calendar = pd.bdate_range("2010-01-04", periods=days)
    names = [f"SYM{number:04d}" for number in range(symbols - 1)] + ["^GSPC"]
    moves = rng.normal(0.0003, 0.015, (days, symbols))
    close = 50 * np.exp(np.cumsum(moves, axis=0))
    there = np.arange(days)[:, None] >= rng.integers(0, max(1, days // 2), symbols) * (
        rng.random(symbols) < 0.2
    )
    there &= rng.random((days, symbols)) > 0.002
    day, symbol = np.nonzero(there)
    closes = close[day, symbol]
    frame = pd.DataFrame(
        {
            "date": calendar[day],
            "symbol": pd.Series(np.array(names, object)[symbol], dtype="str"),
            "open": closes * (1 + rng.normal(0, 0.002, len(day))),
            "high": closes * 1.02,
            "low": closes * 0.98,
            "close": closes,
            "volume": rng.integers(1_000, 10_000_000, len(day)),
            "adj_close": closes * (0.5 + 0.5 * (day + 1) / days),
        }
    )
    frame.to_parquet(path, index=False)
    return len(frame)


def ours(source: Path, folder: Path) -> None:
    """Convert with the project's own code."""
    from qlib_shadow_runner.contract.spec.price_files import PricesSpec  # noqa: PLC0415
    from qlib_shadow_runner.dataset.prices.ingest import ingest  # noqa: PLC0415 - each way pays for its own imports

    ingest([source], [source.name], folder, PricesSpec("inbox"))


def plain(source: Path, folder: Path) -> None:
    """Convert symbol by symbol with pandas, as Qlib's collector and dump_bin script do it."""
    frame = pd.read_parquet(source)
    calendar = sorted(frame["date"].unique())
    lines = []
    for symbol, raw in frame.groupby("symbol"):
        bars = normalized(raw.drop(columns="symbol").set_index("date").sort_index())
        lines.append(f"{symbol}\t{bars.index[0]:%Y-%m-%d}\t{bars.index[-1]:%Y-%m-%d}")
        dump(folder / "features" / str(symbol).lower(), bars, calendar)
    (folder / "calendars").mkdir()
    np.savetxt(folder / "calendars" / "day.txt", [f"{day:%Y-%m-%d}" for day in calendar], fmt="%s")
    (folder / "instruments").mkdir()
    np.savetxt(folder / "instruments" / "all.txt", sorted(lines), fmt="%s")


def normalized(bars: pd.DataFrame) -> pd.DataFrame:
    """Adjust one symbol, as YahooNormalize1d does."""
    bars = bars.copy()
    bars["factor"] = (bars["adj_close"] / bars["close"]).ffill()
    for column in COLUMNS:
        bars[column] = bars[column] / bars["factor"] if column == "volume" else bars[column] * bars["factor"]
    base = bars["close"].iloc[0]
    for column in [*COLUMNS, "factor"]:
        bars[column] = bars[column] * base if column == "volume" else bars[column] / base
    bars["change"] = bars["close"] / bars["close"].shift(1) - 1
    return bars.drop(columns="adj_close")


def dump(home: Path, bars: pd.DataFrame, calendar: list[pd.Timestamp]) -> None:
    """Write one symbol, as DumpDataAll does."""
    home.mkdir(parents=True)
    days = pd.DatetimeIndex(calendar)
    aligned = bars.reindex(days[(days >= bars.index[0]) & (days <= bars.index[-1])])
    start = calendar.index(aligned.index[0])
    for column in aligned.columns:
        np.hstack([start, aligned[column]]).astype("<f").tofile(home / f"{column}.day.bin")


LINKS_FOLDER = {"ours": ours, "plain": plain}


def measured(way: str, source: Path, folder: Path) -> dict[str, Any]:
    """Run one way in a child; give its seconds and its peak memory."""
    command = [sys.executable, __file__, "--way", way, "--source", str(source), "--into", str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, Any] = json.loads(told)
    return figures


def child(way: str, source: Path, folder: Path) -> None:
    """Be that child."""
    started = time.perf_counter()
    LINKS_FOLDER[way](source, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - started, "peak": peak}))


def differences(ours_at: Path, plain_at: Path) -> list[str]:
    """List the files that do not say the same, to float32's last digits."""
    wrong = []
    for path in sorted(plain_at.rglob("*.*")):
        name = path.relative_to(plain_at)
        other = ours_at / name
        if not other.is_file():
            wrong.append(f"{name} is missing")
        elif path.suffix != ".bin":
            wrong += [] if path.read_bytes() == other.read_bytes() else [f"{name} differs"]
        elif not same_numbers(
            np.fromfile(path, "<f4"), np.fromfile(other, "<f4"), change="change" in path.name
        ):
            wrong.append(f"{name} differs")
    return wrong


def same_numbers(one: np.ndarray, other: np.ndarray, *, change: bool) -> bool:
    """Compare to a few units in the last place; over a gap, the loop has no change where we have one."""
    if len(one) != len(other):
        return False
    known = ~np.isnan(one) if change else np.ones(len(one), bool)
    return bool(np.allclose(one[known], other[known], rtol=1e-6, atol=1e-7, equal_nan=True))


def compare(symbols: int, days: int, runs: int = 1) -> list[str]:
    """Generate, convert both ways, and report; an empty list of differences is what is hoped for."""
    place = Path(tempfile.mkdtemp(prefix="bench-ingest-"))
    try:
        source = place / "bars.parquet"
        rows = generate(source, symbols=symbols, days=days)
        best: dict[str, dict[str, Any]] = {}
        for number in range(runs):
            for way in LINKS_FOLDER:
                folder = place / f"{way}-{number}"
                folder.mkdir()
                figures = measured(way, source, folder)
                if way not in best or figures["seconds"] < best[way]["seconds"]:
                    best[way] = figures
        report(rows, symbols, days, best)
        return differences(place / "ours-0", place / "plain-0")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def report(rows: int, symbols: int, days: int, best: dict[str, dict[str, Any]]) -> None:
    """Print the table."""
    sys.stdout.write(f"{symbols} symbols, {days} days, {rows:,} rows\n")
    for way, figures in best.items():
        speed = rows / figures["seconds"]
        peak = figures["peak"] / 2**20
        sys.stdout.write(
            f"  {way:6} {figures['seconds']:8.2f} s {speed:12,.0f} rows/s  peak {peak:6,.0f} MiB\n"
        )
    ratio = best["plain"]["seconds"] / best["ours"]["seconds"]
    sys.stdout.write(f"  ours is {ratio:.1f} times as fast\n")


def main() -> int:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--years", type=int, default=15)
    parser.add_argument("--runs", type=int, default=2, help="the best of so many is reported")
    parser.add_argument("--way", choices=sorted(LINKS_FOLDER), help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.way:
        child(flags.way, flags.source, flags.into)
        return 0
    wrong = compare(flags.symbols, flags.years * TRADING_DAYS, flags.runs)
    sys.stdout.write("\n".join(wrong) + "\n" if wrong else "  the outputs agree\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

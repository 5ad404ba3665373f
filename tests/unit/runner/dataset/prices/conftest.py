"""Small price files, and a child process in which Qlib reads the converted dataset."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from qlib_shadow_runner.contract.spec.price_files import PricesSpec
from qlib_shadow_runner.dataset.prices.ingest import ingest
from qlib_shadow_runner.dataset.verification import verify_dataset

if TYPE_CHECKING:
    from qlib_shadow_runner.dataset.prices.conversion_notes import Notes

Frame = pd.DataFrame
Read = Callable[[Path], Frame]


class Converter:
    """Writes files, converts them, verifies the result, and gives access to it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.out = place / "out"

    def __call__(self, *files: Path, options: PricesSpec | None = None) -> Notes:
        """Convert."""
        self.out.mkdir()
        notes = ingest(list(files), [file.name for file in files], self.out, options or PricesSpec("inbox"))
        verify_dataset(self.out)
        return notes

    def csv(self, text: str, name: str = "bars.csv") -> Path:
        """Write a CSV file as it stands."""
        path = self.place / name
        path.write_bytes(text.encode())
        return path

    def parquet(self, frame: Frame, name: str = "bars.parquet", *, index: bool = False) -> Path:
        """Write a Parquet file."""
        path = self.place / name
        frame.to_parquet(path, index=index)
        return path

    def field(self, symbol: str, field: str) -> tuple[int, list[float]]:
        """Read one bin file: the start index and the values."""
        values = np.fromfile(self.out / "features" / symbol / f"{field}.day.bin", "<f4")
        return int(values[0]), [round(float(value), 5) for value in values[1:]]

    def lines(self, name: str) -> list[str]:
        """Read a text file of the dataset."""
        return (self.out / name).read_text().splitlines()


def make_bars(symbols: str = "AAA BBB", days: int = 3, **columns: Any) -> Frame:
    """Return bars of a few symbols, day after day; `columns` replaces or adds."""
    dates = pd.bdate_range("2024-01-02", periods=days)
    rows = [
        {
            "date": day,
            "symbol": symbol,
            "open": 10.0,
            "high": 11.0,
            "low": 9.0,
            "close": 10.0 + n,
            "volume": 100.0,
        }
        for n, day in enumerate(dates)
        for symbol in symbols.split()
    ]
    return pd.DataFrame(rows).assign(**columns)


@pytest.fixture
def convert(tmp_path: Path) -> Converter:
    """Convert files inside a folder of the test."""
    return Converter(tmp_path)


@pytest.fixture
def bars() -> Callable[..., Frame]:
    """Make bars."""
    return make_bars


@pytest.fixture(scope="session")
def read_by_qlib() -> Iterator[Read]:
    """Read a dataset with Qlib's D.features, in a child that keeps Qlib's globals to itself."""
    command = [sys.executable, str(Path(__file__).with_name("qlib_child.py"))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as child:  # type: ignore[call-overload]

        def read(folder: Path) -> Frame:
            child.stdin.write(f"{folder}\n")
            child.stdin.flush()
            answer = child.stdout.readline().strip()
            assert answer, "Qlib failed to read the dataset"
            return pd.read_parquet(answer)

        yield read
        child.stdin.close()

"""What was read of a mapped file need not stay in memory, and is there for whoever looks again."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from qlib_shadow_runner.engine.layout import release_pages

COLUMNS, ROWS = 4, 100_000


def resident(path: Path) -> int:
    """Count the kilobytes of a mapped file that this process holds."""
    maps = Path("/proc/self/smaps").read_text().split(str(path))[1:]
    return sum(int(found[1]) for one in maps if (found := re.search(r"^Rss: +(\d+)", one, re.MULTILINE)))


def test_a_column_is_let_go_and_found_again(tmp_path: Path):
    """Through a frame, too; what was written is not lost, and the other columns stay."""
    path = tmp_path / "matrix.f32"
    matrix = np.memmap(path, "<f4", "w+", shape=(COLUMNS, ROWS))
    matrix[:] = np.arange(COLUMNS)[:, None]
    whole = resident(path)
    assert whole >= COLUMNS * ROWS * 4 // 1024
    release_pages(matrix[1])
    assert 0 < resident(path) < whole
    release_pages(pd.DataFrame(matrix.T, copy=False).to_numpy())
    assert resident(path) == 0
    assert (matrix == np.arange(COLUMNS)[:, None]).all()


def test_memory_of_ones_own_stays(tmp_path: Path):
    """As does an array of a file in which there is nothing."""
    (tmp_path / "empty").write_bytes(bytes(8))
    values = np.arange(10.0)
    release_pages(values[2:5])
    release_pages(np.memmap(tmp_path / "empty", "<f4", "r", shape=(2,))[:0])
    assert values.tolist() == list(range(10))

"""Released pages of a mapped file leave memory, and are read again when needed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from qlib_shadow_runner.engine.layout import release_pages

COLUMNS, ROWS = 4, 100_000


def resident(path: Path) -> int:
    """Return the kilobytes of a mapped file that this process holds in memory."""
    maps = Path("/proc/self/smaps").read_text().split(str(path))[1:]
    return sum(int(found[1]) for one in maps if (found := re.search(r"^Rss: +(\d+)", one, re.MULTILINE)))


def test_released_pages_are_read_again(tmp_path: Path):
    """A column or a whole frame is released; written values are kept, and other columns stay in memory."""
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


def test_release_leaves_unmapped_arrays_alone(tmp_path: Path):
    """An array in this process's memory and an empty array of a file are unchanged."""
    (tmp_path / "empty").write_bytes(bytes(8))
    values = np.arange(10.0)
    release_pages(values[2:5])
    release_pages(np.memmap(tmp_path / "empty", "<f4", "r", shape=(2,))[:0])
    assert values.tolist() == list(range(10))

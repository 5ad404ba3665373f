"""The hashes of a matrix's blocks, so that a reader of some days verifies only those.

A block holds some rows of one column; the hashes of all of them are a file of their own.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.engine.layout import release_pages
from qlib_shadow_runner.process.limits import read_limits

if TYPE_CHECKING:
    import numpy.typing as npt

    Matrix = npt.NDArray[np.float32]

ROWS: Final = 1 << 14
"""Of a block: half a year of 500 instruments is four of them."""
BYTES: Final = 32


def hash_blocks(matrix: Matrix, first: int = 0) -> bytes:
    """Return the hashes of the blocks from a block on, column by column."""

    def column(values: npt.NDArray[np.float32]) -> bytes:
        starts = range(first * ROWS, len(values), ROWS)
        hashes = [hashlib.sha256(np.ascontiguousarray(values[at : at + ROWS]).data).digest() for at in starts]
        release_pages(values)
        return b"".join(hashes)

    with ThreadPoolExecutor(read_limits().threads) as pool:
        return b"".join(pool.map(column, matrix))


def require_intact(matrix: Matrix, hashes: bytes, row: int) -> None:
    """Raise ValueError unless every block from that of a row on is what was written."""
    columns, rows = matrix.shape
    blocks = -(-rows // ROWS)
    if len(hashes) != columns * blocks * BYTES:
        raise ValueError(f"it has the hashes of {len(hashes) // BYTES} blocks, not of {columns * blocks}")
    first = row // ROWS
    wanted = np.frombuffer(hashes, np.uint8).reshape(columns, blocks, BYTES)[:, first:]
    if hash_blocks(matrix, first) != wanted.tobytes():
        raise ValueError("a part of its matrix is not what was written (its sha256 differs)")

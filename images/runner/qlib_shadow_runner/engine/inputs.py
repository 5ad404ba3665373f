"""The files from which a matrix is computed: their hashes, lengths, and last final days."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from qlib_shadow_runner.process.limits import read_limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from qlib_shadow_runner.engine.bins import Bins
    from qlib_shadow_runner.engine.layout import Whole

    Truths = npt.NDArray[np.bool_]
    Signed = list[tuple[int, str]]
    """The size of each file and the SHA-256 of its bytes; size 0 for a missing file."""


class Inputs:
    """The files of some fields and instruments, considered up to a day of the calendar."""

    def __init__(self, bins: Bins, fields: Sequence[str], symbols: Sequence[str], last: int) -> None:
        self._bins, self.fields, self.symbols, self._last = bins, fields, symbols, last

    @cached_property
    def settled(self) -> Whole:
        """Return each instrument's last day on which none of its files can still gain a value."""
        settled = np.full(len(self.symbols), self._last)
        for field in self.fields:
            there = self._sizes(field) > 0
            settled[there] = np.minimum(settled, self._bins.ends(field) - 1)[there]
        return settled

    @property
    def present(self) -> Truths:
        """Return which instruments have any file."""
        present: Truths = np.max([self._sizes(field) for field in self.fields], axis=0) > 0
        return present

    def ended(self, last: int) -> Truths:
        """Return which instruments have no file that continues after a day."""
        ended: Truths = np.max([self._bins.ends(name) for name in self.fields], axis=0) <= last + 1
        return ended

    def signed(self) -> dict[str, Signed]:
        """Return size and hash of every file, by field, in the order of the instruments."""
        return {field: self._digests(field, self._sizes(field).tolist()) for field in self.fields}

    def begin_with(self, signed: Mapping[str, Signed], order: Whole) -> tuple[Truths, Truths]:
        """Return which instruments' files begin with the signed files, and which equal them.

        `order` gives for each instrument its number among the signed ones; -1 if it is not there.
        """
        begun = order >= 0
        same = begun.copy()
        for field in self.fields:
            now, old = self._sizes(field), [signed[field][number] for number in np.maximum(order, 0)]
            sizes = np.array([size for size, _ in old], np.int64)
            begun &= (sizes <= now) & ((sizes > 0) == (now > 0))
            found = self._digests(field, np.where(begun, sizes, 0).tolist())
            begun &= np.array([one == tuple(other) for one, other in zip(found, old, strict=True)])
            same &= sizes == now
        return begun, begun & same

    def _sizes(self, field: str) -> Whole:
        return np.array([len(content) for content in self._bins.contents(field)], np.int64)

    def _digests(self, field: str, sizes: Sequence[int]) -> Signed:
        def sign(content: bytes, size: int) -> tuple[int, str]:
            return size, hashlib.sha256(memoryview(content)[:size]).hexdigest()

        with ThreadPoolExecutor(read_limits().threads) as pool:
            return list(pool.map(sign, self._bins.contents(field), sizes))

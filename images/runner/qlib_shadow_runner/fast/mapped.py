"""Files mapped into memory, and letting go of them: what was read once need not stay with this process."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

if TYPE_CHECKING:
    import numpy.typing as npt


def let_go(values: npt.NDArray[Any]) -> None:
    """Give the pages of an array back, if it lies in a mapped file.

    What was written stays in the kernel's copy of the file; whoever looks again finds it there. Memory of
    this process does nothing.
    """
    owner: Any = values
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if not isinstance(owner, mmap.mmap) or not values.size:
        return
    origin = np.frombuffer(owner, np.uint8).ctypes.data
    first, end = (bound - origin for bound in byte_bounds(values))
    begin = first - first % mmap.PAGESIZE
    owner.madvise(mmap.MADV_DONTNEED, begin, end - begin)

"""The most memory and processor time of the child that reads pickles.

Both follow the size of the files, because reading takes both in proportion to it. A pickle that asks for more
is not one of a recorder.
"""

from __future__ import annotations

import resource
import signal
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from types import FrameType

MEBIBYTE: Final = 1 << 20
MEMORY_BASE: Final = 256 * MEBIBYTE
MEMORY_FACTOR: Final = 100
"""An empty list takes one byte in a pickle, and about ninety in memory."""
MEMORY_MOST: Final = 4096 * MEBIBYTE
SECONDS_BASE: Final = 20
BYTES_A_SECOND: Final = MEBIBYTE // 2
"""Reading takes a fifth of this time on a slow machine."""
SECONDS_TO_END: Final = 5
"""How long the child may take to answer that its time is over."""


class OutOfTime(Exception):  # noqa: N818 - it is a finding
    """The processor time is used up."""


def most_memory(size: int, container: int | None) -> int:
    """Return the limit for files of this size, in a container with this limit."""
    return min(MEMORY_BASE + MEMORY_FACTOR * size, MEMORY_MOST, container or MEMORY_MOST)


def most_seconds(size: int) -> int:
    """Return the limit for files of this size."""
    return SECONDS_BASE + size // BYTES_A_SECOND


def limit_self(memory: int, seconds: int) -> None:
    """Set the limits for this process: it leaves no core, and is told when its time is over."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _set(resource.RLIMIT_AS, memory, memory)
    signal.signal(signal.SIGXCPU, _end)
    _set(resource.RLIMIT_CPU, seconds, seconds + SECONDS_TO_END)


def finish_in_time() -> None:
    """Let the process write its answer, unless that takes longer than SECONDS_TO_END."""
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)


def _set(kind: int, soft: int, hard: int) -> None:
    """Set a limit, at most as high as one that is already set."""
    most = resource.getrlimit(kind)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(kind, (soft, hard))


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """Stop reading."""
    finish_in_time()  # the kernel tells it again each second
    raise OutOfTime

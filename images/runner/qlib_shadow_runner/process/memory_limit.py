"""Hold a process's memory below its stage's limit, so that too large an input ends in a sentence.

Otherwise the kernel ends the process, or another one in the container, and nothing says which file it was.
RLIMIT_DATA counts what is writable, which is what data needs; RLIMIT_AS also counts addresses that are only
reserved, five times as much here, and libraries end the process where it refuses them.
"""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason, Stage
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.process.limits import more_memory, read_limits
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from qlib_shadow_runner.process.limits import Limits

ROOM: Final = 8
"""The share of the stage's limit that the stage's other processes need, as its divisor."""
OF_THE_MACHINE: Final = 2
"""The share of a machine's memory that one step may take where nothing limits it, as its divisor."""
AS_NEEDED: Final = ("MIMALLOC_ARENA_EAGER_COMMIT", "0")
"""Makes Arrow's allocator take memory as it needs it; otherwise it begins with a gigabyte, which counts."""


def memory_for_a_step(limits: Limits, machine: int) -> int:
    """Return how much memory one step of a stage may take."""
    if limits.memory_bytes is None or limits.memory_bytes > machine:
        return machine // OF_THE_MACHINE
    return limits.memory_bytes - limits.memory_bytes // ROOM


def hold_memory() -> None:
    """Limit the memory of this process and its children; a narrower limit stays. Call it before imports."""
    os.environ.setdefault(*AS_NEEDED)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    wanted = memory_for_a_step(read_limits(), machine)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY or wanted < soft:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def held_memory() -> int | None:
    """Return the limit of this process, or None where it has none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return None if soft == resource.RLIM_INFINITY else soft


def memory_ran_out(what: str, stage: Stage = Stage.DOWNLOAD) -> StageError:
    """Return the error that something needs more memory than this process may take, most often a dataset."""
    held = held_memory()
    most = "there is" if held is None else f"{format_size(held)}, which is what it may take here"
    return StageError(Reason.OUT_OF_MEMORY, f"{what} needs more memory than {most}. {more_memory(stage)}")


def require_memory(size: int, what: str) -> None:
    """Raise where something needs more memory than this process may take, before it is tried."""
    held = held_memory()
    if held is not None and size > held:
        raise memory_ran_out(f"{what} of about {format_size(size)}")

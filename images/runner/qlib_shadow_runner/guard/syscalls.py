"""System calls that Python has no words for, by number; the same on every architecture but two of them."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
LANDLOCK_CREATE_RULESET: Final = 444
LANDLOCK_RESTRICT_SELF: Final = 446
PR_SET_NO_NEW_PRIVS: Final = 38
LIBC: Final = ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments: object) -> int:
    """Call the kernel; an error is an OSError."""
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    answer = int(LIBC.syscall(ctypes.c_long(number), *words))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def give_up_privileges() -> None:
    """Promise never to gain privileges, which lets a process without any restrict itself."""
    if LIBC.prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


def machine() -> str:
    """Name the architecture as the kernel does."""
    return platform.machine()

"""System calls that Python has no functions for, by number; only seccomp's depends on the architecture."""

from __future__ import annotations

import ctypes
import os
from typing import Final

SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
LANDLOCK_CREATE_RULESET: Final = 444
LANDLOCK_RESTRICT_SELF: Final = 446
PR_SET_NO_NEW_PRIVS: Final = 38
LIBC: Final = ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments: object) -> int:
    """Return the result of a system call; raise its error as OSError."""
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    answer = int(LIBC.syscall(ctypes.c_long(number), *words))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def give_up_privileges() -> None:
    """Set no_new_privs, without which an unprivileged process may not restrict itself."""
    if LIBC.prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


def machine() -> str:
    """Return the kernel's name of the architecture."""
    return os.uname().machine

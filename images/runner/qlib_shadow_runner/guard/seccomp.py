"""No Internet sockets for this process and what it starts, by a system call filter.

The filter checks numbers only, such as the family of a socket, because no other thread can change them after
the check. Where the kernel can notify a supervisor (5.9 and later), every attempt is reported; elsewhere the
call fails with EACCES.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from qlib_shadow_runner.guard.syscalls import SECCOMP, machine, syscall

if TYPE_CHECKING:
    from collections.abc import Callable

SET_MODE_FILTER: Final = 1
GET_ACTION_AVAIL: Final = 2
NEW_LISTENER: Final = 1 << 3

KILL_PROCESS: Final = 0x80000000
REFUSE: Final = 0x00050000
ASK: Final = 0x7FC00000
ALLOW: Final = 0x7FFF0000

LOAD: Final = 0x20
EQUAL: Final = 0x15
AT_LEAST: Final = 0x35
RETURN: Final = 0x06
NUMBER_AT: Final = 0
ARCHITECTURE_AT: Final = 4
ARGUMENTS_AT: Final = 16
X32_BIT: Final = 0x40000000
INSTRUCTION_SIZE: Final = 8
Instruction = tuple[int, str, str, int]
"""The operation, the labels to jump to when it holds and when not, and its number."""


class Architecture(NamedTuple):
    """The numbers of an architecture that the filter needs."""

    audit: int
    socket: int
    connect: int
    sendto: int
    sendmsg: int
    sendmmsg: int
    setsockopt: int
    io_uring_setup: int = 425


ARCHITECTURES: Final = {
    "x86_64": Architecture(0xC000003E, 41, 42, 44, 46, 307, 54),
    "aarch64": Architecture(0xC00000B7, 198, 203, 206, 211, 269, 208),
}
UNIX: Final = 1
INTERNET: Final = 2
INTERNET_6: Final = 10
"""Families of sockets, as Linux numbers them: Python's module takes longer to import than the guard."""
INTERNET_LEVELS: Final = (0, 6, 17, 41)
"""Levels of options that a dead socket lacks. Resolvers set them first, and stop when they cannot."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse(number: int) -> int:
    """Return the action that fails a call with this error."""
    return REFUSE | number


def filter_source(here: Architecture, *, asking: bool) -> tuple[Instruction | str, ...]:
    """Return the filter; a string is the label of what follows, and an empty label means the next line."""
    fifth_argument = ARGUMENTS_AT + 4 * 8
    return (
        (LOAD, "", "", ARCHITECTURE_AT),
        (EQUAL, "", "kill", here.audit),  # 32-bit programs have other numbers, and are not needed
        (LOAD, "", "", NUMBER_AT),
        (AT_LEAST, "kill", "", X32_BIT),
        (EQUAL, "family", "", here.socket),
        (EQUAL, "address", "", here.sendto),
        (EQUAL, "watch", "", here.connect),
        (EQUAL, "watch", "", here.sendmsg),
        (EQUAL, "watch", "", here.sendmmsg),
        (EQUAL, "option", "", here.setsockopt),
        (EQUAL, "forbid", "allow", here.io_uring_setup),  # its operations pass no filter
        "family",
        (LOAD, "", "", ARGUMENTS_AT),
        (EQUAL, "allow", "", UNIX),
        (EQUAL, "internet", "", INTERNET),
        (EQUAL, "internet", "", INTERNET_6),
        (RETURN, "", "", refuse(errno.EAFNOSUPPORT)),
        "address",  # without one, sendto is send
        (LOAD, "", "", fifth_argument),
        (EQUAL, "", "watch", 0),
        (LOAD, "", "", fifth_argument + 4),
        (EQUAL, "allow", "watch", 0),
        "option",
        (LOAD, "", "", ARGUMENTS_AT + 8),
        *((EQUAL, "pretend", "", level) for level in INTERNET_LEVELS),
        (RETURN, "", "", ALLOW),
        "pretend",
        (RETURN, "", "", refuse(0)),  # an error of 0 is a success
        "internet",
        (RETURN, "", "", ASK if asking else refuse(errno.EACCES)),
        "watch",
        (RETURN, "", "", ASK if asking else ALLOW),
        "forbid",
        (RETURN, "", "", refuse(errno.EPERM)),
        "allow",
        (RETURN, "", "", ALLOW),
        "kill",
        (RETURN, "", "", KILL_PROCESS),
    )


def assemble(source: tuple[Instruction | str, ...]) -> bytes:
    """Return the filter as the kernel reads it, with distances instead of labels."""
    labels: dict[str, int] = {}
    code: list[Instruction] = []
    for line in source:
        if isinstance(line, str):
            labels[line] = len(code)
        else:
            code.append(line)

    def distance(label: str, here: int) -> int:
        return labels[label] - here - 1 if label else 0

    return b"".join(
        struct.pack("<HBBI", operation, distance(yes, here), distance(no, here), value)
        for here, (operation, yes, no, value) in enumerate(code)
    )


def offers(action: int, call: Callable[..., int] = syscall) -> bool:
    """Return whether the kernel has an action for filters, ASK or REFUSE."""
    try:
        call(SECCOMP[machine()], GET_ACTION_AVAIL, 0, ctypes.byref(ctypes.c_uint32(action)))
    except (OSError, KeyError):
        return False
    return True


def close_sockets(*, asking: bool, call: Callable[..., int] = syscall) -> int:
    """Install the filter in this thread; return the descriptor of its notifications, where it is asking."""
    content = assemble(filter_source(ARCHITECTURES[machine()], asking=asking))
    program = _Program(len(content) // INSTRUCTION_SIZE, content)
    flags = NEW_LISTENER if asking else 0
    return call(SECCOMP[machine()], SET_MODE_FILTER, flags, ctypes.byref(program))

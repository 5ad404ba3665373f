"""No TCP for this process and what it starts, by Landlock; native code and io_uring included.

Linux 6.7 and later. It does not cover UDP, so it is one layer of three.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.guard.syscalls import LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF, syscall

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION_FLAG: Final = 1
BIND_TCP: Final = 1
CONNECT_TCP: Final = 2
SCOPE_ABSTRACT_UNIX_SOCKETS: Final = 1
SCOPE_SIGNALS: Final = 2
ABI_WITH_NETWORK: Final = 4
ABI_WITH_SCOPES: Final = 6


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


def landlock_abi(call: Callable[..., int] = syscall) -> int:
    """Return the version that the kernel has; 0 for none."""
    try:
        return call(LANDLOCK_CREATE_RULESET, None, 0, VERSION_FLAG)
    except OSError:
        return 0


def close_tcp(call: Callable[..., int] = syscall) -> str | None:
    """Refuse TCP, and from 6.12 on abstract sockets and signals outwards; return the layer's name or None."""
    abi = landlock_abi(call)
    if abi < ABI_WITH_NETWORK:
        return None
    scoped = SCOPE_ABSTRACT_UNIX_SOCKETS | SCOPE_SIGNALS if abi >= ABI_WITH_SCOPES else 0
    attributes = _RulesetAttributes(0, BIND_TCP | CONNECT_TCP, scoped)
    size = ctypes.sizeof(attributes) if scoped else _RulesetAttributes.scoped.offset
    ruleset = call(LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        call(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return f"landlock-abi-{abi}"

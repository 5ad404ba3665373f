"""The layers that close the network: which of them this kernel has, and applying them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.guard.landlock import ABI_WITH_NETWORK, close_tcp, landlock_abi
from qlib_shadow_runner.guard.seccomp import ARCHITECTURES, ASK, REFUSE, close_sockets, offers
from qlib_shadow_runner.guard.syscalls import give_up_privileges, machine, syscall

if TYPE_CHECKING:
    from collections.abc import Callable

AUDIT_HOOK: Final = "audit-hook"
SECCOMP_ASKING: Final = "seccomp-notify"
SECCOMP_REFUSING: Final = "seccomp"
UNSUPPORTED: Final = frozenset(
    {errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.EACCES, errno.EBUSY}
)
"""Errors of a kernel, or of a container runtime's filter, that does not offer a layer."""


def available_layers(call: Callable[..., int] = syscall) -> list[str]:
    """Return the layers that a run would have on this machine."""
    abi = landlock_abi(call)
    found = [f"landlock-abi-{abi}"] if abi >= ABI_WITH_NETWORK else []
    if offers(ASK, call):
        found.append(SECCOMP_ASKING)
    elif offers(REFUSE, call):
        found.append(SECCOMP_REFUSING)
    return [*found, AUDIT_HOOK]


def close_network(*, asking: bool, call: Callable[..., int] = syscall) -> tuple[list[str], int | None]:
    """Apply every layer; return their names, and the descriptor on which the kernel notifies, if it does."""
    give_up_privileges()
    found = _tcp(call)
    listener = _sockets(call, asking=True) if asking and offers(ASK, call) else None
    if listener is not None:
        found.append(SECCOMP_ASKING)
    elif _sockets(call, asking=False) is not None:
        found.append(SECCOMP_REFUSING)
    return [*found, AUDIT_HOOK], listener


def close_own_network(call: Callable[..., int] = syscall) -> None:
    """Apply to the supervisor itself the only layer that leaves its own sockets usable: Landlock."""
    give_up_privileges()
    _tcp(call)


def _tcp(call: Callable[..., int]) -> list[str]:
    try:
        layer = close_tcp(call)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return []
    return [layer] if layer else []


def _sockets(call: Callable[..., int], *, asking: bool) -> int | None:
    if machine() not in ARCHITECTURES:
        return None
    try:
        return close_sockets(asking=asking, call=call)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return None

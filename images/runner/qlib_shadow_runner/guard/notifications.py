"""The kernel's notifications of system calls, as the filter of `seccomp` asks for: read, answered, checked.

A process that asks for an Internet socket gets a dead one, a local socket without a peer. So no answer here
decides whether the network is reached. The calls that follow only show whether a library looks around or a
program connects, and to which address. The latter is an attempt.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from qlib_shadow_runner.guard.seccomp import ARCHITECTURES
from qlib_shadow_runner.guard.syscalls import machine

RECEIVE: Final = 0xC0502100
SEND: Final = 0xC0182101
ADD_DESCRIPTOR: Final = 0x40182103
REQUEST: Final = struct.Struct("=QIIiIQ6Q")
RESPONSE: Final = struct.Struct("=QqiI")
DESCRIPTOR: Final = struct.Struct("=QIIII")
CONTINUE: Final = 1
KIND: Final = 0xF
ADDRESS_SIZE: Final = 28
MESSAGE: Final = struct.Struct("=QI")
"""The beginning of a msghdr: the address, and its length."""
GONE: Final = frozenset({errno.ENOENT, errno.EINTR})


@dataclass(frozen=True)
class Notification:
    """A system call that waits for an answer."""

    id: int
    pid: int
    number: int
    arguments: tuple[int, ...]


def next_notification(listener: int) -> Notification | None:
    """Return the next notification; None when the process that made the call is gone."""
    buffer = bytearray(REQUEST.size)
    try:
        fcntl.ioctl(listener, RECEIVE, buffer)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    identifier, pid, _, number, _, _, *arguments = REQUEST.unpack(buffer)
    return Notification(identifier, pid, number, tuple(arguments))


def address_of(notification: Notification) -> str | None:
    """Return the Internet address that a call names, if it names one."""
    here = ARCHITECTURES[machine()]
    if notification.number == here.socket:
        return None
    try:
        where, size = _address_place(notification)
        return _shown(_memory(notification.pid, where, min(size, ADDRESS_SIZE)))
    except (OSError, struct.error):  # the process is gone, or gave the kernel a wrong address
        return None


def answer(listener: int, notification: Notification, *, refused: bool) -> None:
    """Fail the call, return a dead socket to it, or let it continue."""
    if refused:
        _respond(listener, notification, error=-errno.EACCES)
    elif notification.number == ARCHITECTURES[machine()].socket:
        _give_dead_socket(listener, notification)
    else:
        _respond(listener, notification, flags=CONTINUE)


def _respond(
    listener: int, notification: Notification, *, value: int = 0, error: int = 0, flags: int = 0
) -> None:
    with contextlib.suppress(FileNotFoundError):
        fcntl.ioctl(listener, SEND, RESPONSE.pack(notification.id, value, error, flags))


def _give_dead_socket(listener: int, notification: Notification) -> None:
    asked = notification.arguments[1]
    kind, close = asked & KIND, os.O_CLOEXEC if asked & socket.SOCK_CLOEXEC else 0
    if kind not in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        _respond(listener, notification, error=-errno.EACCES)
        return
    with socket.socket(socket.AF_UNIX, kind) as dead:
        dead.setblocking(not asked & socket.SOCK_NONBLOCK)
        try:
            request = bytearray(DESCRIPTOR.pack(notification.id, 0, dead.fileno(), 0, close))
            given = fcntl.ioctl(
                listener, ADD_DESCRIPTOR, request
            )  # returns a number, although it takes a buffer
        except OSError:  # a kernel before 5.9
            _respond(listener, notification, error=-errno.EACCES)
            return
    _respond(listener, notification, value=given)


def _address_place(notification: Notification) -> tuple[int, int]:
    here = ARCHITECTURES[machine()]
    if notification.number == here.connect:
        return notification.arguments[1], notification.arguments[2]
    if notification.number == here.sendto:
        return notification.arguments[4], notification.arguments[5]
    found: tuple[int, int] = MESSAGE.unpack(
        _memory(notification.pid, notification.arguments[1], MESSAGE.size)
    )
    return found


def _memory(pid: int, where: int, size: int) -> bytes:
    descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, size, where)
    finally:
        os.close(descriptor)


def _shown(address: bytes) -> str | None:
    if len(address) < struct.calcsize("=H"):
        return None
    family, port = struct.unpack("=H", address[:2])[0], int.from_bytes(address[2:4], "big")
    if family == socket.AF_INET:
        return f"{IPv4Address(address[4:8])}:{port}"
    if family == socket.AF_INET6:
        return f"[{IPv6Address(address[8:24])}]:{port}"
    return None

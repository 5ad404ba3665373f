"""The supervisor's side of the guard: starts a command through the launcher and receives every attempt."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.guard.network_attempt import NetworkAttempt
from qlib_shadow_runner.guard.notifications import address_of, answer, next_notification

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

CHUNK: Final = 65_536


class Watch:
    """Watches one guarded child, from before its start until after its end."""

    def __init__(
        self, folder: Path, on_closed: Callable[[Sequence[str]], None], end_run: Callable[[], None]
    ) -> None:
        self.attempt: NetworkAttempt | None = None
        self._on_closed, self._end_run = on_closed, end_run
        self._path = folder / f"guard-{os.getpid()}-{id(self):x}"
        self._failure: Exception | None = None
        self._listener: int | None = None
        self._unparsed = b""
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        """Open the pipe and the sockets through which attempts arrive."""
        os.mkfifo(self._path, 0o600)
        self._channel = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._control, self._child_end = socket.socketpair()
        self._waker, self._wake = os.pipe()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Read what is left and close."""
        os.close(self._wake)
        if self._thread.is_alive():
            self._thread.join()
        self._child_end.close()
        self._control.close()
        for descriptor in (self._channel, self._waker):
            os.close(descriptor)
        self._path.unlink()
        if self._failure is not None and error is None:
            raise self._failure

    @property
    def inherited(self) -> tuple[int]:
        """Return the descriptor that the child inherits."""
        return (self._child_end.fileno(),)

    def wrapped(self, command: Sequence[str]) -> Sequence[str]:
        """Return the command with the launcher before it."""
        launcher = [sys.executable, "-P", "-m", "qlib_shadow_runner.guard"]
        channels = ["--channel", str(self._path), "--control", str(self._child_end.fileno())]
        return [*launcher, *channels, "--", *command]

    def started(self) -> None:
        """Start listening, now that the child holds its end of the control socket."""
        self._child_end.close()
        self._thread.start()

    def _listen(self) -> None:
        """Answer until the child has ended; without an answer, the kernel refuses the call."""
        try:
            self._loop()
        except Exception as error:  # noqa: BLE001 - raised again where the child is waited for
            self._failure = error
            self._end_run()
        finally:
            if self._listener is not None:
                os.close(self._listener)

    def _loop(self) -> None:
        poll = select.poll()
        control = self._control.fileno()
        for descriptor in (self._channel, control, self._waker):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if control in ready:
                poll.unregister(control)
                self._receive_layers(poll)
            if self._channel in ready:
                self._read_channel()
            if self._listener in ready:
                self._answer(poll, ready[self._listener])
            if self._waker in ready and not ready.keys() & {control, self._channel, self._listener}:
                return

    def _receive_layers(self, poll: select.poll) -> None:
        content, descriptors, _, _ = socket.recv_fds(self._control, CHUNK, 1)
        if content:
            self._on_closed(content.decode().split())
        if descriptors:
            self._listener = descriptors[0]
            os.set_inheritable(self._listener, False)  # noqa: FBT003 - it is the only argument
            poll.register(self._listener, select.POLLIN)

    def _read_channel(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._unparsed += os.read(self._channel, CHUNK)
        *lines, self._unparsed = self._unparsed.split(b"\n")
        for attempt in filter(None, map(NetworkAttempt.parse, lines)):
            self._record(attempt)

    def _answer(self, poll: select.poll, state: int) -> None:
        assert self._listener is not None, "it is registered"
        if not state & select.POLLIN:  # all guarded processes are gone
            poll.unregister(self._listener)
            return
        notification = next_notification(self._listener)
        if notification is None:
            return
        address = address_of(notification)
        if address is not None:
            self._record(NetworkAttempt.of_process(notification.pid, address))
            with contextlib.suppress(ProcessLookupError):
                os.kill(notification.pid, signal.SIGKILL)
        answer(self._listener, notification, refused=address is not None)

    def _record(self, attempt: NetworkAttempt) -> None:
        """Keep the first attempt, which ends the run."""
        if self.attempt is None:
            self.attempt = attempt
            self._end_run()

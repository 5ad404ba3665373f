"""One builder at a time for a dataset, across processes, pods and nodes; and who it is, for those who wait.

    .us_data_1d.lock     held by flock, which the kernel (on NFS and CephFS the server) frees when its holder
                         dies; its content is the holder's name
    .us_data_1d.lease    only on filesystems that are not local: made exclusively and renewed while held

flock alone decides on a local filesystem. Elsewhere a mount may keep flock to the node (`local_lock`,
`nolock`, many FUSE filesystems) or not have it, so that the lease is asked as well. A lease that a waiter
has not seen change for EXPIRY seconds, by the waiter's own clock, is of a dead holder and is taken over.

The lock saves work; that a dataset is never half there rests on publishing by rename. Two holders, which
a holder that is paused for longer than EXPIRY can lead to, cost a second download and no data: the first one
asks before it shows anything, and ends with DatasetLocked, whatever the second has made go wrong for it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import random
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import ENV_REQUEST, Reason
from qlib_shadow_runner.errors import StageError, from_os_error
from qlib_shadow_runner.storage.files import read_json_object, write_atomically
from qlib_shadow_runner.storage.mounts import is_local
from qlib_shadow_runner.storage.volume import make_folder
from qlib_shadow_runner.texts import print_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RENEWAL: Final = 5.0
EXPIRY: Final = 45.0
"""Longer than NFS clients keep file attributes at hand (acregmax is 60 s, but opening a file asks anew)."""
NO_FLOCK: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


@dataclass(frozen=True)
class WaitOptions:
    """How long to wait for another builder, how often to look, and how often to say so."""

    limit: float = 1800.0
    """Seconds; then DatasetLocked, and the Job's retries go on waiting."""
    poll_seconds_max: float = 1.0
    message_seconds: float = 30.0
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    log: Callable[[str], None] = print_line


def lock_lost(canonical: Path) -> StageError:
    """End whoever was away for so long that another holds the lock by now."""
    return StageError(
        Reason.DATASET_LOCKED,
        f"this run was silent for so long that another has taken over building {canonical.name}. "
        "It is tried again, and waits for that one.",
    )


@contextlib.contextmanager
def locked(canonical: Path, waiting: WaitOptions | None = None) -> Iterator[Callable[[], None]]:
    """Hold the dataset's lock, after waiting with patience; give a way to ask whether it is still held."""
    make_folder(canonical.parent)
    queue = _Waiter(canonical, waiting or WaitOptions())
    path = canonical.with_name(f".{canonical.name}.lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o664)
    except OSError as error:
        raise from_os_error(error) from error
    try:
        queue.until(lambda: _flock(descriptor), lambda: _holder(path))
        with _write_holder_name(descriptor), _leased(canonical, queue) as still_held:
            yield still_held
    finally:
        os.close(descriptor)


@dataclass
class _Waiter:
    """One who waits."""

    canonical: Path
    waiting: WaitOptions
    _since: float = field(init=False)
    _next_report: float = field(init=False)

    def __post_init__(self) -> None:
        self._since = self._next_report = self.waiting.clock()

    def until(self, taken: Callable[[], bool], holder: Callable[[], str]) -> None:
        """Try again and again, and say for whom it waits."""
        look = 0.02
        while not taken():
            now = self.waiting.clock()
            if now - self._since >= self.waiting.limit:
                raise StageError(
                    Reason.DATASET_LOCKED,
                    f"{holder()} has been building {self.canonical.name} for longer than this run waits "
                    f"({self.waiting.limit / 60:.0f} minutes). It is tried again; see what that run does.",
                )
            if now >= self._next_report:
                self._next_report = now + self.waiting.message_seconds
                self.waiting.log(f"waiting for {holder()}, which is building {self.canonical.name}")
            self.waiting.pause(look * (0.5 + random.random() / 2))  # noqa: S311 - only to be out of step
            look = min(look * 2, self.waiting.poll_seconds_max)


def _flock(descriptor: int) -> bool:
    """Take the lock if it is free; a filesystem that has none leaves the decision to the lease."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_FLOCK:
            return True
        raise from_os_error(error) from error
    return True


@contextlib.contextmanager
def _write_holder_name(descriptor: int) -> Iterator[None]:
    """Keep the holder's name in the lock file; a full disk is no reason not to build."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_this_process()).encode(), 0)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)


def _this_process() -> dict[str, object]:
    try:
        run = json.loads(os.environ.get(ENV_REQUEST, "{}")).get("runId", "")
    except (ValueError, AttributeError):
        run = ""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"run": run, "host": platform.node(), "pid": os.getpid(), "since": now}


def _holder(path: Path) -> str:
    """Name whoever signed the file."""
    holder = read_json_object(path)
    if holder is None:
        return "another run"
    run = f"run {holder['run']}" if holder.get("run") else "a run"
    return f"{run} on {holder.get('host')} (process {holder.get('pid')}, since {holder.get('since')})"


@contextlib.contextmanager
def _leased(canonical: Path, queue: _Waiter) -> Iterator[Callable[[], None]]:
    """Hold the lease too, where flock may not reach the other nodes."""
    if is_local(canonical.parent):
        yield lambda: None  # nobody takes it but the kernel
        return
    lease = _Lease(canonical.with_name(f".{canonical.name}.lease"), queue.waiting.clock)

    def still_held() -> None:
        if not lease.is_mine():
            raise lock_lost(canonical)

    queue.until(lease.take, lease.holder)
    with lease.renewed():
        try:
            yield still_held
        except Exception:
            still_held()  # what went wrong may be the other's doing
            raise


@dataclass
class _Lease:
    """A file that exists while somebody builds, and changes while that somebody lives."""

    path: Path
    clock: Callable[[], float]
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    _seen: object = None
    _seen_at: float | None = None

    def take(self) -> bool:
        """Make the file if there is none; take away one that has stopped changing."""
        try:
            with self.path.open("xb") as stream:
                stream.write(self._content(0))
        except FileExistsError:
            self._take_over_expired()
            return False
        except OSError as error:
            raise from_os_error(error) from error
        return True

    def holder(self) -> str:
        """Name whoever holds it."""
        return _holder(self.path)

    @contextlib.contextmanager
    def renewed(self) -> Iterator[None]:
        """Change the file now and then until the work is done."""
        done = threading.Event()
        thread = threading.Thread(target=self._renew, args=(done,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            if self.is_mine():
                self.path.unlink(missing_ok=True)

    def _renew(self, done: threading.Event) -> None:
        beat = 0
        while not done.wait(RENEWAL):
            beat += 1
            with contextlib.suppress(OSError):
                if not self.is_mine():
                    return
                write_atomically(self.path, self._content(beat))

    def _content(self, beat: int) -> bytes:
        return json.dumps({**_this_process(), "token": self.token, "beat": beat}).encode()

    def is_mine(self) -> bool:
        """Say whether nobody else has taken it."""
        return (read_json_object(self.path) or {}).get("token") == self.token

    def _take_over_expired(self) -> None:
        content = read_json_object(self.path)
        if self._seen_at is None or content != self._seen:
            self._seen, self._seen_at = content, self.clock()
        elif self.clock() - self._seen_at >= EXPIRY:
            self._seen_at = None
            with contextlib.suppress(OSError):
                self._remove_expired()

    def _remove_expired(self) -> None:
        """Take the lease away by a rename, in which one of several succeeds; give a living one back."""
        removed_path = self.path.with_name(f"{self.path.name}.{self.token}")
        self.path.rename(removed_path)
        if read_json_object(removed_path) != self._seen:
            os.link(removed_path, self.path)
        removed_path.unlink()

"""One builder at a time for a dataset, across processes, pods and nodes; and who it is, for those that wait.

A book of the ledger has the same lock for those that write it.

    .us_data_1d.lock     held by flock; its content is the holder's name
    .us_data_1d.lease    only on filesystems that are not local: created exclusively and renewed while held

flock alone decides on a local filesystem (see held.py). Elsewhere it may not reach the other nodes, so that
the lease is asked as well. It is taken over when a waiter has not seen it change for EXPIRY seconds of its
own clock: not by its age, as in held.py, since clocks that differ would let two builders work at once.

The lock saves work; that a dataset is never half there rests on publishing by rename. Two holders, which
a holder that is paused for longer than EXPIRY can lead to, cost a second download and no data: the first one
asks before it shows anything, and ends with DatasetLocked, whatever errors the second has caused in it.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import random
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import ENV_REQUEST, Reason
from qlib_shadow_runner.errors import StageError, from_os_error
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.storage import held
from qlib_shadow_runner.storage.files import read_json_object, write_atomically
from qlib_shadow_runner.storage.mounts import is_local
from qlib_shadow_runner.storage.untrusted import open_for_writing
from qlib_shadow_runner.storage.volume import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RENEWAL: Final = 5.0
EXPIRY: Final = 45.0
"""NFS clients cache file attributes for up to 60 s, but opening a file asks the server again."""


@dataclass(frozen=True)
class WaitOptions:
    """How long to wait for another builder, how often to look, and how often to log that it waits."""

    limit: float = 1800.0
    """Seconds; then an error, and the Job's retries go on waiting."""
    poll_seconds_max: float = 1.0
    message_seconds: float = 30.0
    doing: str = "building"
    """What the holder does with the file or folder, in sentences."""
    reason: Reason = Reason.DATASET_LOCKED
    """The reason of the error when it is waited for in vain, or the lock is lost."""
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    log: Callable[[str], None] = print_line


def lock_lost(canonical: Path, options: WaitOptions | None = None) -> StageError:
    """Return the error of a holder that was silent for so long that another holds the lock by now."""
    options = options or WaitOptions()
    return StageError(
        options.reason,
        f"this run was silent for so long that another has taken over {options.doing} {canonical.name}. "
        "It is tried again, and waits for that one.",
    )


@contextlib.contextmanager
def locked(canonical: Path, options: WaitOptions | None = None) -> Iterator[Callable[[], None]]:
    """Hold the dataset's lock, after waiting for it; yield a check that raises once the lock is lost."""
    make_folder(canonical.parent)
    waiter = _Waiter(canonical, options or WaitOptions())
    path = canonical.with_name(f".{canonical.name}.lock")
    try:
        descriptor = open_for_writing(path, os.O_RDWR)
    except OSError as error:
        raise from_os_error(error) from error
    try:
        waiter.until(lambda: held.lock(descriptor), lambda: _holder(path))
        with _holder_written(descriptor), _leased(canonical, waiter) as still_held:
            yield still_held
    finally:
        os.close(descriptor)


@dataclass
class _Waiter:
    """A process that waits for the lock."""

    canonical: Path
    options: WaitOptions
    _since: float = field(init=False)
    _next_message: float = field(init=False)

    def __post_init__(self) -> None:
        self._since = self._next_message = self.options.clock()

    def until(self, taken: Callable[[], bool], holder: Callable[[], str]) -> None:
        """Try until it is taken, and log which holder it waits for."""
        seconds = 0.02
        doing = f"{self.options.doing} {self.canonical.name}"
        while not taken():
            now = self.options.clock()
            if now - self._since >= self.options.limit:
                raise StageError(
                    self.options.reason,
                    f"{holder()} has been {doing} for longer than this run waits "
                    f"({self.options.limit / 60:.0f} minutes). It is tried again; see what that run does.",
                )
            if now >= self._next_message:
                self._next_message = now + self.options.message_seconds
                self.options.log(f"waiting for {holder()}, which is {doing}")
            self.options.pause(seconds * (0.5 + random.random() / 2))  # noqa: S311 - only to be out of step
            seconds = min(seconds * 2, self.options.poll_seconds_max)


@contextlib.contextmanager
def _holder_written(descriptor: int) -> Iterator[None]:
    """Keep the holder's name in the lock file; a full disk is no reason not to build."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_this_run()).encode(), 0)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)


def _this_run() -> dict[str, object]:
    try:
        run = json.loads(os.environ.get(ENV_REQUEST, "{}")).get("runId", "")
    except (ValueError, AttributeError, RecursionError):
        run = ""
    return {"run": run, **held.this_process()}


def _holder(path: Path) -> str:
    """Return the name of the holder that a file states."""
    holder = read_json_object(path)
    if holder is None:
        return "another run"
    return held.holder_name(f"run {holder['run']}" if holder.get("run") else "a run", holder)


@contextlib.contextmanager
def _leased(canonical: Path, waiter: _Waiter) -> Iterator[Callable[[], None]]:
    """Hold the lease too, where flock may not reach the other nodes."""
    if is_local(canonical.parent):
        yield lambda: None  # only the kernel can take the lock away
        return
    lease = _Lease(canonical.with_name(f".{canonical.name}.lease"), waiter.options.clock)

    def still_held() -> None:
        if not lease.is_mine():
            raise lock_lost(canonical, waiter.options)

    waiter.until(lease.take, lease.holder)
    with lease.renewed():
        try:
            yield still_held
        except Exception:
            still_held()  # the other holder may have caused the error
            raise


@dataclass
class _Lease:
    """A file that exists while a holder builds, and changes while that holder lives."""

    path: Path
    clock: Callable[[], float]
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    _renewals: int = 0
    _seen: object = None
    _seen_at: float | None = None

    def take(self) -> bool:
        """Create the file if there is none; remove one that has stopped changing."""
        try:
            with self.path.open("xb") as stream:
                stream.write(self._content())
        except FileExistsError:
            self._take_over_expired()
            return False
        except OSError as error:
            raise from_os_error(error) from error
        for left in self.path.parent.glob(f"{glob.escape(self.path.name)}.*"):  # by a killed waiter
            left.unlink(missing_ok=True)
        return True

    def holder(self) -> str:
        """Return the holder's name."""
        return _holder(self.path)

    @contextlib.contextmanager
    def renewed(self) -> Iterator[None]:
        """Change the file at intervals until the work is done."""
        try:
            with held.repeated(self._renew, RENEWAL):
                yield
        finally:
            if self.is_mine():
                self.path.unlink(missing_ok=True)

    def _renew(self) -> bool:
        self._renewals += 1
        if not self.is_mine():
            return False
        write_atomically(self.path, self._content())
        return True

    def _content(self) -> bytes:
        return json.dumps({**_this_run(), "token": self.token, "beat": self._renewals}).encode()

    def is_mine(self) -> bool:
        """Return whether no other process has taken it."""
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
        """Remove the lease by a rename, in which one of several waiters succeeds; give a renewed one back."""
        removed_path = self.path.with_name(f"{self.path.name}.{self.token}")
        self.path.rename(removed_path)
        if read_json_object(removed_path) != self._seen:
            os.link(removed_path, self.path)
        removed_path.unlink()

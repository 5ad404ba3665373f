"""Which attempt may write into a run's folder: the one that came last.

    .attempt.json        who holds the folder; replaced by rename, locked by flock, touched while it lives
    .attempts/<token>    a link to the folder: the way on which that attempt's children write into it

Whoever comes takes the folder at once, since it was started because the one before is over. If that one lives
on after all, on a node that was lost, it is fenced: before each write of its own it looks here and stops, and
the link that its children write through is gone. Nobody waits, so that a dead holder blocks nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError, from_os_error
from qlib_shadow_runner.runs.result import now
from qlib_shadow_runner.storage.files import read_json_object
from qlib_shadow_runner.storage.mounts import is_local
from qlib_shadow_runner.storage.volume import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

HOLDER: Final = ".attempt.json"
LINKS_FOLDER: Final = ".attempts"
RENEWAL: Final = 2.0
EXPIRY: Final = 120.0
"""After so many seconds without a touch a holder is dead, where flock does not tell; clocks may differ."""


@dataclass(frozen=True)
class Lease:
    """An attempt's right to write."""

    folder: Path
    token: str
    descriptor: int

    @classmethod
    def take(cls, folder: Path) -> Self:
        """Become the one who may write, and take the way from everybody else."""
        token = secrets.token_hex(8)
        make_folder(folder / LINKS_FOLDER)
        try:
            lease = cls(folder, token, _write_holder(folder, token))
            try:
                lease._replace_links()
            except BaseException:
                lease.release()
                raise
        except OSError as error:
            raise from_os_error(error, folder / HOLDER) from error
        return lease

    def _replace_links(self) -> None:
        others = list((self.folder / LINKS_FOLDER).iterdir())
        self.check()  # whoever signed later may have made a way since, which is not ours to take
        for attempt_path in others:
            attempt_path.unlink(missing_ok=True)
        self.attempt_path.symlink_to("..")
        self.check()  # whoever signed later may have looked for ways before ours was there

    def release(self) -> None:
        """Leave no way behind, and no lock."""
        with contextlib.suppress(OSError):
            self.attempt_path.unlink(missing_ok=True)
        os.close(self.descriptor)

    @property
    def attempt_path(self) -> Path:
        """Give the folder by the path that ends with this lease."""
        return self.folder / LINKS_FOLDER / self.token

    def superseded_error(self) -> StageError | None:
        """Say who has taken the folder over, if somebody has."""
        holder = read_json_object(self.folder / HOLDER) or {}
        if holder.get("token") == self.token:
            return None
        return StageError(
            Reason.SUPERSEDED,
            f"{_name(holder)} has taken {self.folder} over. "
            "This attempt has stopped and changes nothing more; the run goes on there.",
        )

    def check(self) -> None:
        """Stop whoever is no longer the one."""
        error = self.superseded_error()
        if error is not None:
            raise error

    @contextlib.contextmanager
    def held(self, on_loss: Callable[[StageError], None]) -> Iterator[None]:
        """Show now and then that this attempt lives, and look whether it still may."""
        done = threading.Event()
        thread = threading.Thread(target=self._renew, args=(done, on_loss), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.release()

    def _renew(self, done: threading.Event, on_loss: Callable[[StageError], None]) -> None:
        while not done.wait(RENEWAL):
            with contextlib.suppress(OSError):  # a volume that is away for a moment
                error = self.superseded_error()
                if error is not None:
                    on_loss(error)
                    return
                os.utime(self.descriptor)


def _name(holder: Mapping[str, object]) -> str:
    if "host" not in holder:
        return "somebody without a name"
    return f"the attempt on {holder['host']} (process {holder.get('pid')}, since {holder.get('since')})"


def _write_holder(folder: Path, token: str) -> int:
    """Put our name there, whole and locked; the kernel unlocks it when we die."""
    name = {"token": token, "host": platform.node(), "pid": os.getpid(), "since": now()}
    draft = folder / f"{HOLDER}.{token}"
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o664)
    try:
        os.write(descriptor, json.dumps(name).encode())
        with contextlib.suppress(OSError):  # a filesystem without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.replace(folder / HOLDER)
    except BaseException:
        os.close(descriptor)
        draft.unlink(missing_ok=True)
        raise
    return descriptor


def seconds_without_holder(folder: Path) -> float | None:
    """Say for how long nobody has held a folder; None where somebody does, or never did."""
    try:
        descriptor = os.open(folder / HOLDER, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        age = max(0.0, time.time() - os.fstat(descriptor).st_mtime)
        free = _is_free(descriptor)
    finally:
        os.close(descriptor)
    return age if free and (is_local(folder) or age > EXPIRY) else None


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a filesystem without locks
        return True
    return True

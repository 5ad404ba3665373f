"""Which attempt may write into a run folder: the one that came last.

    .attempt.json        who holds the folder; replaced by rename, locked by flock, touched while it lives
    .attempts/<token>    a link to the folder: the path through which that attempt's children write into it

An attempt takes the folder at once, since it was started because the one before it is over. If that one still
lives, on a node that was lost, it is fenced: before each write of its own it looks here and stops, and the
link that its children write through is gone. An attempt never waits, so that a dead holder delays no run.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError, from_os_error
from qlib_shadow_runner.storage.files import read_json_object
from qlib_shadow_runner.storage.held import holder_name, lock, repeated, seconds_unheld, this_process
from qlib_shadow_runner.storage.volume import make_own_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOLDER: Final = ".attempt.json"
LINKS_FOLDER: Final = ".attempts"
RENEWAL: Final = 2.0
EXPIRY: Final = 120.0


@dataclass(frozen=True)
class Lease:
    """An attempt's right to write."""

    folder: Path
    token: str
    descriptor: int

    @classmethod
    def take(cls, folder: Path) -> Self:
        """Return the lease of a new attempt, and remove the links of all others."""
        token = secrets.token_hex(8)
        make_own_folder(folder / LINKS_FOLDER)
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
        self.check()  # a later holder may have made its link since, which must stay
        for link in others:
            link.unlink(missing_ok=True)
        self.attempt_path.symlink_to("..")
        self.check()  # a later holder may have listed the links before this one was there

    def release(self) -> None:
        """Leave no link behind, and no lock."""
        with contextlib.suppress(OSError):
            self.attempt_path.unlink(missing_ok=True)
        os.close(self.descriptor)

    @property
    def attempt_path(self) -> Path:
        """Return the path to the folder that ends with this lease."""
        return self.folder / LINKS_FOLDER / self.token

    def superseded_error(self) -> StageError | None:
        """Return an error that names the attempt which has taken the folder over; None while it is ours."""
        holder = read_json_object(self.folder / HOLDER) or {}
        if holder.get("token") == self.token:
            return None
        name = holder_name("the attempt", holder) if "host" in holder else "an unknown attempt"
        return StageError(
            Reason.SUPERSEDED,
            f"{name} has taken {self.folder} over. "
            "This attempt has stopped and changes nothing more; the run goes on there.",
        )

    def check(self) -> None:
        """Raise where another attempt has taken the folder over."""
        error = self.superseded_error()
        if error is not None:
            raise error

    @contextlib.contextmanager
    def held(self, on_loss: Callable[[StageError], None]) -> Iterator[None]:
        """Show that this attempt lives, until the block ends; report once that another has taken over."""

        def renew() -> bool:
            error = self.superseded_error()
            if error is not None:
                on_loss(error)
                return False
            os.utime(self.descriptor)
            return True

        try:
            with repeated(renew, RENEWAL):
                yield
        finally:
            self.release()


def _write_holder(folder: Path, token: str) -> int:
    """Write who holds the folder, whole and locked; return the descriptor that holds the lock."""
    draft = folder / f"{HOLDER}.{token}"
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o664)
    try:
        os.write(descriptor, json.dumps({"token": token, **this_process()}).encode())
        lock(descriptor)
        draft.replace(folder / HOLDER)
    except BaseException:
        os.close(descriptor)
        draft.unlink(missing_ok=True)
        raise
    return descriptor


def seconds_without_holder(folder: Path) -> float | None:
    """Return for how long no attempt has held a run folder; None where one does, or never did."""
    return seconds_unheld(folder / HOLDER, EXPIRY)

"""A size-limited, content-addressed cache on the shared volume, for anything that is costly to compute.

    cache/features/<key>/…             the files of one entry
    cache/features/<key>/content.json  what it is, and the hashes of its files; written last

An entry is written under another name and renamed when it is complete, so that readers see all of it or
nothing. Its writer holds a lock on the folder; an incomplete folder without a holder is removed. The hashes
are checked at every read: a damaged entry is reported, removed and computed again. The time of a folder is
that of its last use; the entries unused for longest are removed when a new one would exceed the limit or the
free space. An entry that is itself larger than the limit is not written. A reader of a removed file can
finish, because the kernel keeps mapped files. Nothing depends on the cache: what cannot be kept is computed
again.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self, TypeVar

from qlib_shadow_runner.cache import content as contents
from qlib_shadow_runner.cache.content import CONTENT
from qlib_shadow_runner.cache.places import (
    ENV_CACHE,
    ENV_LIMIT,
    LIMIT_RULE,
    NoRoomError,
    limit_for_children,
    space_of,
)
from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.printing import print_error
from qlib_shadow_runner.storage.durability import sync_tree
from qlib_shadow_runner.storage.held import lock_folder, seconds_unheld
from qlib_shadow_runner.storage.removal import remove
from qlib_shadow_runner.storage.untrusted import names_in
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qlib_shadow_runner.cache.content import Content

Found = TypeVar("Found")
STAGING: Final = ".making-"
ABANDONED: Final = 24 * 3600.0
"""Seconds after which an incomplete entry is abandoned, on filesystems without usable locks."""
INCOMPLETE: Final = "incomplete"
DAMAGED: Final = "damaged"
KIND: Final = re.compile(r"[a-z]+( [a-z]+)?")
KEY: Final = re.compile("[0-9a-f]{64}")
DAMAGE: Final = (ValueError, LookupError, TypeError, OverflowError, FileNotFoundError, DamagedFileError)
"""Errors that mean that an entry is damaged; other errors mean that it cannot be read now."""
KEPT, NOT_KEPT = "kept for other runs", "not kept"


@dataclass(frozen=True)
class StoreEntry:
    """One entry, complete or not."""

    folder: Path
    kind: str
    used: float
    size: int
    base: str | None = None
    """The entry without which this one is none."""


class StoreDraft:
    """An entry that is being written."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self._lock: int | None = None

    def make_folder(self) -> None:
        """Create and lock the folder; the kernel releases the lock when this process ends."""
        self.folder.mkdir(parents=True)
        self._lock = lock_folder(self.folder)

    def release(self) -> None:
        """Release the lock of an entry that is published or removed."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()


@dataclass(frozen=True)
class Store:
    """The entries in one folder; those of all kinds share its limit."""

    home: Path
    limit: int | None = None
    """Bytes that may be kept; None for the filesystem's default limit."""
    kind: ClassVar[str] = "things"
    """What this class reads and keeps, in the plural, for messages."""
    verified_by_reader: ClassVar[frozenset[str]] = frozenset()
    """The files of which a reader verifies only what it reads."""

    @classmethod
    def from_environ(cls) -> Self | None:
        """Return the store that the stage names in the environment, or None."""
        home = os.environ.get(ENV_CACHE)
        limit = limit_for_children(os.environ).get(ENV_LIMIT)
        return cls(Path(home), int(limit) if limit else None) if home else None

    def read(self, key: str, reader: Callable[[Path, Content], Found]) -> Found | None:
        """Return what a reader makes of a key's verified files; None if they are missing or damaged."""
        folder = self.home / key
        try:
            # Opened before its content is read, so that a folder of another inode is seen as another entry.
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._warn_unusable(folder, error)
            return None
        try:
            if _size(folder) > self._limit():  # none is published, so that another has enlarged it
                raise ValueError("it has more bytes than may stay")
            found = reader(folder, contents.read_verified(folder, self.verified_by_reader))
        except (OSError, *DAMAGE) as error:
            if _is_still(folder, descriptor):
                self._warn_unusable(folder, error)
                if isinstance(error, DAMAGE):
                    remove(folder)
            return None
        finally:
            os.close(descriptor)
        with contextlib.suppress(OSError):  # usable even if its time cannot be set
            os.utime(folder)
        return found

    def _warn_unusable(self, folder: Path, error: Exception) -> None:
        print_error(f"warning: {folder} cannot be used ({error}); the {self.kind} are computed again.")

    def staging(self, key: str) -> Path:
        """Return a new folder name for writing an entry."""
        return self.home / f"{STAGING}{key[:12]}-{secrets.token_hex(4)}"

    def make_room(self, size: int) -> None:
        """Remove entries unused for longest until so many bytes fit; raise if they cannot."""
        limit = self._limit()
        if size > limit:
            raise NoRoomError(
                f"{format_size(size)} are more than the {format_size(limit)} that may stay: {LIMIT_RULE}"
            )
        self.shrink(limit - size)
        entries, missing = self.entries(), space_of(self.home).missing_for(size)
        if missing > sum(entry.size for entry in entries):
            raise NoRoomError(f"the volume has no room for {format_size(size)}")
        for entry in entries:
            if not space_of(self.home).missing_for(size):
                break
            remove(entry.folder)

    def _limit(self) -> int:
        return space_of(self.home).default_limit if self.limit is None else self.limit

    def publish(self, draft: StoreDraft, about: Content) -> str:
        """Make an entry visible to other runs, and return `KEPT` or `NOT_KEPT`."""
        try:
            self._publish(draft, about)
        except OSError as error:
            self.warn_not_kept(error)
            draft.discard()
            return NOT_KEPT
        draft.release()
        self.shrink()
        return KEPT

    def warn_not_kept(self, error: Exception) -> None:
        """Warn that other runs will have to compute this again."""
        print_error(f"warning: the {self.kind} are not kept for other runs: {error}")

    def _publish(self, draft: StoreDraft, about: Content) -> None:
        contents.describe_files(draft.folder, self.kind, about, self.verified_by_reader)
        size = _size(draft.folder)
        if size > self._limit():
            raise NoRoomError(f"{format_size(size)} are more than may stay: {LIMIT_RULE}")
        sync_tree(draft.folder)
        try:
            draft.folder.rename(self.home / draft.key)
        except OSError:
            if not (self.home / draft.key / CONTENT).is_file():
                raise
            draft.discard()  # another run has published the same entry

    def entries(self) -> list[StoreEntry]:
        """Return the complete entries, those unused for longest first."""
        found = [entry for entry in self._complete() if self._has_base(entry)]
        return sorted(found, key=lambda entry: entry.used)

    def abandoned(self) -> list[StoreEntry]:
        """Return the incomplete entries whose writer has ended, and those whose base is gone."""
        drafts = [draft for draft in self._drafts() if seconds_unheld(draft.folder, ABANDONED) is not None]
        return drafts + [entry for entry in self._complete() if not self._has_base(entry)]

    def _complete(self) -> list[StoreEntry]:
        found = [_entry(path) for path in self._folders() if not path.name.startswith(".")]
        return [entry for entry in found if entry]

    def _has_base(self, entry: StoreEntry) -> bool:
        return entry.base is None or (self.home / entry.base / CONTENT).is_file()

    def _drafts(self) -> list[StoreEntry]:
        found = [_entry(path) for path in self._folders() if path.name.startswith(".")]
        return [replace(entry, kind=INCOMPLETE) for entry in found if entry]

    def descriptions(self) -> Iterator[tuple[str, Content]]:
        """Return keys and descriptions of this kind's entries; their files are not verified."""
        for path in self._folders():
            content = {} if path.name.startswith(".") else _description(path)
            if contents.is_intact(content) and content["kind"] == self.kind:
                yield path.name, content

    def shrink(self, limit: int | None = None) -> list[StoreEntry]:
        """Remove abandoned entries, then those unused for longest until the rest is within the limit."""
        removed = self.abandoned()
        for entry in removed:
            remove(entry.folder)
        entries = self.entries()
        excess = sum(entry.size for entry in [*entries, *self._drafts()])
        excess -= self._limit() if limit is None else limit
        for entry in entries:
            if excess <= 0:
                break
            remove(entry.folder)
            removed.append(entry)
            excess -= entry.size
        return removed

    def _folders(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from sorted(self.home.iterdir())


def _is_still(folder: Path, descriptor: int) -> bool:
    """Return whether the opened folder is still the one of this name, neither removed nor replaced."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _description(folder: Path) -> Content:
    try:
        return contents.read_unverified(folder)
    except OSError:
        return {}


def _entry(folder: Path) -> StoreEntry | None:
    """Return what lies in a folder, or None where it is being removed or is no folder."""
    try:
        size = _size(folder)
    except OSError:
        return None
    content = _description(folder)
    kind, base = str(content.get("kind")), content.get("base")
    kind = kind if KIND.fullmatch(kind) else DAMAGED
    return StoreEntry(
        folder, kind, _time(folder), size, base if isinstance(base, str) and KEY.fullmatch(base) else None
    )


def _size(folder: Path) -> int:
    return sum(os.lstat(folder / name).st_size for name in names_in(folder.parent, folder.name))


def _time(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return time.time()

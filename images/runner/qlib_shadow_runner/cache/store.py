"""Things that are costly to make, on the volume, for whoever asks for the same again, whatever they are.

    cache/features/<key>/…             the files of one thing
    cache/features/<key>/content.json  what it is, and the hashes of its files; written last

A folder is made under another name and renamed when it is whole, so that others see all of it or nothing.
Whoever makes it holds it; what a killed run leaves is nobody's, and goes. Its hashes are checked whenever it
is read: what is damaged is told, removed and made again. The time of a folder says when it was last used; the
oldest go where something new would be more than the limit, or more than the filesystem has room for; what is
itself more is not written. Whoever reads a file that is removed meanwhile goes on reading it: the kernel
keeps a mapped file. Nothing here is needed: what cannot be kept is made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

from qlib_shadow_runner.cache.places import ENV_CACHE, ENV_LIMIT, MEANT, NoRoom, limit_for_children, space_of
from qlib_shadow_runner.process.limits import read_limits
from qlib_shadow_runner.storage.durability import sync_tree
from qlib_shadow_runner.storage.files import read_json_object, write_json
from qlib_shadow_runner.storage.mounts import is_local
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Content = Mapping[str, Any]

Found = TypeVar("Found")
CONTENT: Final = "content.json"
SCHEMA: Final = 2
STAGING: Final = ".making-"
ABANDONED: Final = 24 * 3600.0
"""Seconds after which nobody is making it any more, where no lock says it."""
INCOMPLETE: Final = "half made"
CHUNK: Final = 32 << 20
DAMAGE: Final = (ValueError, KeyError, TypeError, FileNotFoundError)
"""What says that a folder is not what was written; other errors say that it cannot be read now."""
KEPT, NOT_KEPT = "kept for other runs", "not kept"


@dataclass(frozen=True)
class StoreEntry:
    """What lies on the shelf under one key."""

    folder: Path
    kind: str
    used: float
    size: int


class StoreDraft:
    """A thing that is being made where it will lie."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self._held: int | None = None

    def make_folder(self) -> None:
        """Make the folder and hold it; the kernel lets go of it when this process ends, however it does."""
        self.folder.mkdir(parents=True)
        self._held = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(OSError):  # where there are no locks, age decides
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Hold it no longer: it is published, or gone."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)

    def discard(self) -> None:
        """Leave nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()


@dataclass(frozen=True)
class Store:
    """The things in one folder; of whatever kind they are, they share its limit."""

    home: Path
    limit: int | None = None
    """Bytes that may stay; where nobody has said it, what the filesystem has room for."""
    kind: ClassVar[str] = "things"
    """What is read and kept by this class, in the plural, as sentences say it."""

    @classmethod
    def from_environ(cls) -> Self | None:
        """Find it in a child of the stage."""
        home = os.environ.get(ENV_CACHE)
        limit = limit_for_children(os.environ).get(ENV_LIMIT)
        return cls(Path(home), int(limit) if limit else None) if home else None

    def read(self, key: str, reader: Callable[[Path, Content], Found]) -> Found | None:
        """Give what a reader makes of the files under a key, if every byte of them is what was written."""
        folder = self.home / key
        try:
            # Before its content: a folder is published whole. And open, so that no other has its number.
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._warn_unusable(folder, error)
            return None
        try:
            content = read_json_object(folder / CONTENT) or {}
            _verify(folder, content)
            found = reader(folder, content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            if _is_still(folder, descriptor):
                self._warn_unusable(folder, error)
                if isinstance(error, DAMAGE):
                    remove(folder)
            return None
        finally:
            os.close(descriptor)
        with contextlib.suppress(OSError):  # it is good, whether or not that may be said
            os.utime(folder)
        return found

    def _warn_unusable(self, folder: Path, error: Exception) -> None:
        sys.stderr.write(f"warning: {folder} cannot be used ({error}); the {self.kind} are computed again.\n")

    def staging(self, key: str) -> Path:
        """Name a folder in which to make what belongs under a key."""
        return self.home / f"{STAGING}{key[:12]}-{secrets.token_hex(4)}"

    def make_room(self, size: int) -> None:
        """Let the longest unused go until so many bytes may be written; raise where that is not enough."""
        limit = self._limit()
        if size > limit:
            raise NoRoom(f"{format_size(size)} are more than the {format_size(limit)} that may stay: {MEANT}")
        self.shrink(limit - size)
        entries, lacking = self.entries(), space_of(self.home).lacks(size)
        if lacking > sum(entry.size for entry in entries):
            raise NoRoom(f"the volume has no room for {format_size(size)}")
        for entry in entries:
            if not space_of(self.home).lacks(size):
                break
            remove(entry.folder)

    def _limit(self) -> int:
        return space_of(self.home).usual_limit if self.limit is None else self.limit

    def publish(self, draft: StoreDraft, about: Content) -> str:
        """Let others find what was made, make room for it, and say what became of it."""
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
        """Say why others will not find it; nobody needs them to."""
        sys.stderr.write(f"warning: the {self.kind} are not kept for other runs: {error}\n")

    def _publish(self, draft: StoreDraft, about: Content) -> None:
        files = _hashes(draft.folder, [path.name for path in draft.folder.iterdir()])
        content = {"schema": SCHEMA, "kind": self.kind, **about, "sha256": files}
        write_json(draft.folder / CONTENT, {**content, "itself": _hash(content)})
        size = _size(draft.folder)
        if size > self._limit():
            raise NoRoom(f"{format_size(size)} are more than may stay: {MEANT}")
        sync_tree(draft.folder)
        try:
            draft.folder.rename(self.home / draft.key)
        except OSError:
            if not (self.home / draft.key / CONTENT).is_file():
                raise
            draft.discard()  # another run was faster, with the same

    def entries(self) -> list[StoreEntry]:
        """List what is kept, the longest unused first."""
        found = [_entry(path) for path in self._folders() if not path.name.startswith(".")]
        return sorted((entry for entry in found if entry), key=lambda entry: entry.used)

    def abandoned(self) -> list[StoreEntry]:
        """List what was left half made by who is no more."""
        return [entry for entry in self._drafts() if _is_abandoned(entry)]

    def _drafts(self) -> list[StoreEntry]:
        found = [_entry(path) for path in self._folders() if path.name.startswith(".")]
        return [replace(entry, kind=INCOMPLETE) for entry in found if entry]

    def descriptions(self) -> Iterator[tuple[str, Content]]:
        """Give what things of this kind say of themselves, by key; unread, and perhaps gone already."""
        for path in self._folders():
            content = {} if path.name.startswith(".") else _content(path)
            if _is_intact(content) and content["kind"] == self.kind:
                yield path.name, content

    def shrink(self, limit: int | None = None) -> list[StoreEntry]:
        """Remove the longest unused until the rest is within the limit, and what was abandoned half made."""
        removed = self.abandoned()
        for entry in removed:
            remove(entry.folder)
        entries = self.entries()
        room = sum(entry.size for entry in [*entries, *self._drafts()])
        room -= self._limit() if limit is None else limit
        for entry in entries:
            if room <= 0:
                break
            remove(entry.folder)
            removed.append(entry)
            room -= entry.size
        return removed

    def _folders(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from sorted(self.home.iterdir())


def remove(folder: Path) -> None:
    """Take a folder out of sight first, so that nobody finds half of it."""
    removed_path = folder.with_name(f"{STAGING}removed-{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        folder.rename(removed_path)
        shutil.rmtree(removed_path, ignore_errors=True)


def _is_still(folder: Path, descriptor: int) -> bool:
    """Say whether an open folder is the one of its name, and not removed, or another's by now."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _content(folder: Path) -> Content:
    try:
        return read_json_object(folder / CONTENT) or {}
    except OSError:
        return {}


def _is_abandoned(draft: StoreEntry) -> bool:
    """Say whether nobody makes it any more: its lock is free, or where locks tell nothing, it is old."""
    if is_local(draft.folder):
        with contextlib.suppress(OSError):
            descriptor = os.open(draft.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            else:
                return True
            finally:
                os.close(descriptor)
    return time.time() - draft.used > ABANDONED


def _verify(folder: Path, content: Content) -> None:
    if not _is_intact(content):
        raise ValueError("its content is not described")
    files = dict(content["sha256"])
    if _hashes(folder, list(files)) != files:
        raise ValueError("it is not what was written")


def _is_intact(content: Content) -> bool:
    descriptions = {name: value for name, value in content.items() if name != "itself"}
    return descriptions.get("schema") == SCHEMA and content.get("itself") == _hash(descriptions)


def _hash(descriptions: Content) -> str:
    return hashlib.sha256(json.dumps(descriptions, sort_keys=True).encode()).hexdigest()


def _hashes(folder: Path, names: list[str]) -> dict[str, str]:
    """Hash files in pieces, on all cores."""
    pieces = [(name, at) for name in names for at in range(0, (folder / name).stat().st_size, CHUNK)]
    with ThreadPoolExecutor(read_limits().threads) as pool:
        digests = list(pool.map(lambda piece: _piece(folder / piece[0], piece[1]), pieces))
    wholes = {name: hashlib.sha256() for name in names}
    for (name, _), digest in zip(pieces, digests, strict=True):
        wholes[name].update(digest)
    return {name: whole.hexdigest() for name, whole in sorted(wholes.items())}


def _piece(path: Path, at: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(at)
        return hashlib.sha256(stream.read(CHUNK)).digest()


def _entry(folder: Path) -> StoreEntry | None:
    try:
        size = _size(folder)
        content = read_json_object(folder / CONTENT) or {}
        return StoreEntry(folder, str(content.get("kind", "damaged")), _time(folder), size)
    except OSError:  # it is being removed
        return None


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()

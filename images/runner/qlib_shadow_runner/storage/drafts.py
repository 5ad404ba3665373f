"""A file that is written under another name, and removed by others when its writer was killed.

    .RUN_METADATA.json.5e1f09ab.tmp    locked by flock until it has its name

A draft without a lock is abandoned: the kernel has released it with the writer's last descriptor. Where
locks may not reach other nodes, only a draft that is older than EXPIRY is abandoned. A process that removes
one holds its lock meanwhile, so that a writer that has just created it sees that it is gone, and makes
another.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from qlib_shadow_runner.storage.held import lock
from qlib_shadow_runner.storage.mounts import is_local

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp", re.DOTALL)
EXPIRY: Final = 3600.0
"""Seconds, on filesystems whose locks may not reach other nodes: no file takes as long to write."""
LOOK: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def draft_of(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield a new file beside a path, to be renamed to it within the block; else it is removed."""
    draft, stream = _create(path)
    try:
        with stream:
            yield draft, stream
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _create(path: Path) -> tuple[Path, BinaryIO]:
    while True:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        stream = draft.open("xb")
        if lock(stream.fileno()) and os.fstat(stream.fileno()).st_nlink:
            return draft, stream
        stream.close()  # one that removes drafts came between


def abandoned_drafts(folder: Path, of: str | None = None) -> Iterator[Path]:
    """Yield the drafts in a folder that no process writes; of one file only, where its name is given."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - half of the time of a path for each
    except OSError:
        return
    for name in names:
        found = NAME.fullmatch(name)
        if found and of in (None, found[1]):
            with _held(folder / name) as is_abandoned:
                if is_abandoned:
                    yield folder / name


def abandoned_drafts_below(folder: Path) -> Iterator[Path]:
    """Yield the drafts in a folder and in those below it; no link is followed."""
    for parent, _, _ in os.walk(folder):
        yield from abandoned_drafts(Path(parent))


def remove_all(drafts: Iterator[Path]) -> None:
    """Remove abandoned drafts."""
    for draft in drafts:
        with contextlib.suppress(OSError):  # another process removes it, or this one may not
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _held(draft: Path) -> Iterator[bool]:
    """Yield whether a draft has no writer, and keep a new writer from it until the block ends."""
    try:
        descriptor = os.open(draft, LOOK)
    except OSError:
        yield False
        return
    try:
        status = os.fstat(descriptor)
        is_old = time.time() - status.st_mtime > EXPIRY
        is_free = stat.S_ISREG(status.st_mode) and lock(descriptor, fcntl.LOCK_SH)
        yield is_free and (is_old or is_local(draft.parent))
    finally:
        os.close(descriptor)

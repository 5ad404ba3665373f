"""Folders for temporary files, removed at the end, and by a later process where their own was killed.

Each holds a file that its process has locked by flock. Where nothing has locked it, and no process has its
working folder there, as a child of a killed process may have, the folder is abandoned. Other folders, in a
place such as /tmp, have no such file and are never touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.storage.held import lock
from qlib_shadow_runner.storage.mounts import is_local

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLDER: Final = ".qlib-shadow-scratch"
EXPIRY: Final = 30 * 86_400.0
"""Seconds, where locks may not reach other nodes: the longest that a stage may take."""
LOOK: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def scratch_folder(prefix: str, parent: str | None = None) -> Iterator[Path]:
    """Make a folder, by default in the system's place for temporary files; remove it when the block ends."""
    place = Path(parent or tempfile.gettempdir())
    for folder in abandoned(place):
        shutil.rmtree(folder, ignore_errors=True)
    folder, descriptor = _create(prefix, place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _create(prefix: str, place: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        with contextlib.suppress(FileNotFoundError):  # one that removes folders came between
            descriptor = os.open(folder / HOLDER, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            if lock(descriptor) and os.fstat(descriptor).st_nlink:
                return folder, descriptor
            os.close(descriptor)


def abandoned(place: Path) -> Iterator[Path]:
    """Yield the folders that killed processes of this user left in a place, locked meanwhile."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            path = Path(entry.path)
            with contextlib.suppress(OSError), contextlib.ExitStack() as locks:
                ours = entry.is_dir(follow_symlinks=False) and entry.stat().st_uid == os.getuid()
                if ours and (path / HOLDER).is_file() and _take(path, locks) and not _is_worked_in(path):
                    yield path


def _take(folder: Path, locks: contextlib.ExitStack) -> bool:
    """Return whether nothing has locked the folder, or one inside: a stage's is in that of its command."""
    for holder in folder.rglob(HOLDER):
        descriptor = os.open(holder, LOOK)
        locks.callback(os.close, descriptor)
        is_old = time.time() - os.fstat(descriptor).st_mtime > EXPIRY
        if not lock(descriptor, fcntl.LOCK_SH) or not (is_old or is_local(folder)):
            return False
    return True


def _is_worked_in(folder: Path) -> bool:
    """Return whether a process has its working folder there: a child that outlived a killed stage."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if link.readlink().is_relative_to(folder):
                return True
    return False

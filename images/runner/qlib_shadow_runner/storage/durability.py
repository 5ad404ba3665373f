"""Bring a folder's files to the disk before they get the name that others read, without one call per file.

For 5,000 files of 6 KB on ext4, an fsync of each took 3.4 to 13.8 s, sixteen at a time 1.3 to 1.6 s, and one
syncfs 0.3 to 0.4 s.
"""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.storage.mounts import is_local

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE: Final = 16


def sync_tree(folder: Path) -> None:
    """Return when every byte and every name below the folder will survive a power cut.

    syncfs covers everything that a local kernel has to write; on a network filesystem only fsync is sure to
    reach the server.
    """
    if is_local(folder):
        _sync_filesystem(folder)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(_sync, _paths(folder)))


def _sync_filesystem(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def _paths(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)
        yield Path(parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(descriptor)

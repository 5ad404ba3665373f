"""The fingerprint of a whole dataset, and a cheap stamp that shows whether files may have changed.

The fingerprint is a Merkle root: the SHA-256 over sorted lines of "path sha256-of-content", so that
`find … | sort | sha256sum` can reproduce it without this project.
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import SHORT_FINGERPRINT
from qlib_shadow_runner.dataset.qlib_layout import PARTS, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qlib_shadow_runner.errors import StageError

SHORT: Final = SHORT_FINGERPRINT
MOST_FOLDERS: Final = 100
"""The most folders in one another; code that walks through them calls itself for each."""


def merkle_root(digests: Mapping[str, str]) -> str:
    """Return the fingerprint for the files' digests."""
    lines = "".join(f"{name} {digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def fingerprint(folder: Path) -> str:
    """Return the fingerprint of a folder after hashing every file."""
    return merkle_root(
        {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in dataset_files(folder)}
    )


def stamp(folder: Path) -> str:
    """Return the hash of names, sizes and times, which changes when a file is written."""
    digest = hashlib.sha256()
    for name in dataset_files(folder):
        try:
            stat = (folder / name).stat()
        except FileNotFoundError:
            raise _leads_nowhere(str(folder / name)) from None
        if not S_ISREG(stat.st_mode):
            raise invalid(folder / name, "is not a file, such as a pipe or a device. Remove it.")
        digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def dataset_files(folder: Path) -> list[str]:
    """Return the dataset's files, by path relative to its folder, sorted."""
    try:
        return sorted(name for part in PARTS for name in _walk(str(folder / part), part))
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise _leads_nowhere(error.filename) from error


def is_text(name: str) -> bool:
    """Return whether a file's name is UTF-8, which hashing and JSON require."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _leads_nowhere(path: str) -> StageError:
    return invalid(
        Path(path), "is a link that leads nowhere or to itself. Remove it, or put the file itself there."
    )


def _walk(folder: str, prefix: str) -> Iterator[str]:
    if prefix.count("/") > MOST_FOLDERS:
        raise invalid(Path(folder), f"lies in more than {MOST_FOLDERS} folders. Remove it.")
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        name = f"{prefix}/{entry.name}"
        if not is_text(name):
            raise invalid(Path(entry.path), "has a name that is not UTF-8. Rename it.")
        if entry.is_dir():
            yield from _walk(entry.path, name)
        else:
            yield name

"""The fingerprint of a whole dataset, and a cheap stamp that shows whether files may have changed.

The fingerprint is a Merkle root: the SHA-256 over sorted lines of "path sha256-of-content", so that
`find … | sort | sha256sum` can reproduce it without this project.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import SHORT_FINGERPRINT
from qlib_shadow_runner.dataset.qlib_layout import PARTS, invalid
from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.storage.untrusted import PRICES, TEXT, read_file

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
    return merkle_root({name: _sha256(folder, name) for name in dataset_files(folder)})


def stamp(folder: Path) -> str:
    """Return the hash of names, sizes and times, which changes when a file is written."""
    digest = hashlib.sha256()
    for name in dataset_files(folder):
        try:
            status = os.lstat(folder / name)
        except FileNotFoundError:
            raise invalid(folder / name, "was removed while the dataset was looked at.") from None
        digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def dataset_files(folder: Path) -> list[str]:
    """Return the dataset's files, by path relative to its folder, sorted; refuse links and special files."""
    return sorted(name for part in PARTS for name in _walk(str(folder / part), part))


def content_of(folder: Path, name: str) -> bytes:
    """Return the content of one of a dataset's files."""
    try:
        return read_file(folder, name, TEXT if name.endswith(".txt") else PRICES)
    except DamagedFileError as error:
        raise invalid(error.path, f"{error.fault}.") from error


def _sha256(folder: Path, name: str) -> str:
    return hashlib.sha256(content_of(folder, name)).hexdigest()


def is_text(name: str) -> bool:
    """Return whether a file's name is UTF-8, which hashing and JSON require."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _walk(folder: str, prefix: str) -> Iterator[str]:
    if os.path.islink(folder):  # noqa: PTH114 - faster for many files
        raise _refused_link(folder)
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
        if entry.is_symlink():
            raise _refused_link(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, name)
        elif entry.is_file(follow_symlinks=False):
            yield name
        else:
            raise invalid(Path(entry.path), "is no regular file. Remove it.")


def _refused_link(path: str) -> StageError:
    return invalid(Path(path), "is a link. Remove it, or put the files themselves there.")

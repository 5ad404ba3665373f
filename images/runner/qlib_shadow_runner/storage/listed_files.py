"""Files listed with their hashes, and whether they are still what was written.

A listing is a JSON object whose `files` gives the SHA-256 of each file by its path in the folder: of a
checkpoint, of a finished training, of an entry of the cache. A dataset's manifest has one hash over all of
its thousands of files instead, which `find … | sort | sha256sum` reproduces (see dataset/fingerprint.py).

A listing may be another run's, so its names are taken apart before they are joined to the folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.storage.relative_names import UnsafeNameError
from qlib_shadow_runner.storage.untrusted import ARTIFACT, CHUNK, FileKind, open_file
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_stream(stream: BinaryIO) -> str:
    """Return the SHA-256 of an opened file; of one that grows, no more than one byte more is read."""
    digest, left = hashlib.sha256(), os.fstat(stream.fileno()).st_size + 1
    while data := stream.read(min(CHUNK, left)):
        digest.update(data)
        left -= len(data)
    return digest.hexdigest()


def hash_files(
    folder: Path, hash_stream: Callable[[BinaryIO], str] = sha256_of_stream, kind: FileKind = ARTIFACT
) -> dict[str, str]:
    """Return the hash of every file below a folder, by its path in the folder; links are no files."""
    found = {}
    for name in sorted(_files_below(folder)):
        with open_file(folder, name, kind) as stream:
            found[name] = hash_stream(stream)
    return found


def listed_in(document: Mapping[str, object] | None) -> dict[str, str]:
    """Return the files of a listing with their hashes; nothing where it has none."""
    files = (document or {}).get("files")
    return {str(name): str(digest) for name, digest in files.items()} if isinstance(files, dict) else {}


def first_fault(
    folder: Path,
    files: Mapping[str, object],
    hash_stream: Callable[[BinaryIO], str] = sha256_of_stream,
    kind: FileKind = ARTIFACT,
) -> str | None:
    """Return what is wrong with the first file that is not what was written, or None.

    All files together may have as many bytes as one of the kind, since each of them is read.
    """
    if not files:
        return "its listing names no files"
    left = kind.most
    for name, digest in files.items():
        try:
            with open_file(folder, name, kind) as stream:
                left -= os.fstat(stream.fileno()).st_size
                if left < 0:
                    return f"its files have more than {format_size(kind.most)} together"
                found = hash_stream(stream)
        except FileNotFoundError:
            return f"{folder / name} is missing"
        except (UnsafeNameError, DamagedFileError) as error:
            return str(error)
        if found != digest:
            return f"{folder / name} is not what was written (its sha256 differs)"
    return None


def unlisted_file(folder: Path, files: Container[str]) -> str | None:
    """Return what is wrong with the first thing in a folder that its listing does not name, or None."""
    others = sorted(name for name in _paths_below(folder) if name not in files)
    return f"{folder / others[0]} is not in its listing" if others else None


def _files_below(folder: Path) -> Iterator[str]:
    for name in _paths_below(folder):
        if stat.S_ISREG((folder / name).lstat().st_mode):
            yield name


def _paths_below(folder: Path) -> Iterator[str]:
    """Return everything but folders, by path in the folder; a link to a folder is no folder."""
    for parent, folders, names in os.walk(folder):
        paths = [Path(parent, name) for name in [*folders, *names]]
        real = {path for path in paths if stat.S_ISDIR(path.lstat().st_mode)}
        yield from (path.relative_to(folder).as_posix() for path in paths if path not in real)

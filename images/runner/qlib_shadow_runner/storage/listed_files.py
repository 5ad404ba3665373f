"""Files listed with their hashes, and whether they are still what was written.

A listing is a JSON object whose `files` gives the SHA-256 of each file by its path in the folder: of a
checkpoint, of a finished training, of an entry of the cache. A dataset's manifest has one hash over all of
its thousands of files instead, which `find … | sort | sha256sum` reproduces (see dataset/fingerprint.py).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_files(folder: Path, hash_file: Callable[[Path], str] = sha256_of) -> dict[str, str]:
    """Return the hash of every file below a folder, by its path in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in files}


def listed_in(document: Mapping[str, object] | None) -> dict[str, str]:
    """Return the files of a listing with their hashes; nothing where it has none."""
    files = (document or {}).get("files")
    return {str(name): str(digest) for name, digest in files.items()} if isinstance(files, dict) else {}


def first_fault(
    folder: Path, files: Mapping[str, object], hash_file: Callable[[Path], str] = sha256_of
) -> str | None:
    """Return what is wrong with the first file that is not what was written, or None."""
    if not files:
        return "its listing names no files"
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if hash_file(path) != digest:
            return f"{path} is not what was written (its sha256 differs)"
    return None

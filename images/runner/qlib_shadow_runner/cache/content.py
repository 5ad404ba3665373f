"""The description of a cache entry, `content.json`: what the entry is, and the hashes of its files."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from qlib_shadow_runner.process.limits import read_limits
from qlib_shadow_runner.storage.files import read_json_object, write_json
from qlib_shadow_runner.storage.listed_files import first_fault, listed_in, unlisted_file
from qlib_shadow_runner.storage.untrusted import LISTING, MATRIX, open_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Content = Mapping[str, Any]

CONTENT: Final = "content.json"
SCHEMA: Final = 4
CHUNK: Final = 32 << 20


def describe_files(folder: Path, kind: str, about: Content, apart: frozenset[str] = frozenset()) -> None:
    """Write the description of a folder's files; it holds its own hash, too.

    Those `apart` are only listed: another file has the hashes of their parts.
    """
    files = {}
    for name in sorted(path.name for path in folder.iterdir()):
        with open_file(folder, name, MATRIX) as stream:
            files[name] = "" if name in apart else _hash_chunks(stream)
    content = {"schema": SCHEMA, "kind": kind, **about, "files": files}
    write_json(folder / CONTENT, {**content, "itself": _hash(content)})


def read_verified(folder: Path, apart: frozenset[str] = frozenset()) -> Content:
    """Return the description if every byte of the files is what was written; else raise ValueError.

    Those `apart` are left to the reader.
    """
    content = read_unverified(folder)
    if not is_intact(content):
        raise ValueError("its content is not described")
    files = listed_in(content)
    hashed = {name: digest for name, digest in files.items() if name not in apart}
    fault = first_fault(folder, hashed, _hash_chunks, MATRIX) or unlisted_file(folder, {*files, CONTENT})
    if fault:
        raise ValueError(fault)
    return content


def read_unverified(folder: Path) -> Content:
    """Return the description, empty where there is none, without a look at the files."""
    return read_json_object(folder / CONTENT, folder, LISTING) or {}


def is_intact(content: Content) -> bool:
    """Return whether a description is of this schema and matches its own hash."""
    described = {name: value for name, value in content.items() if name != "itself"}
    return described.get("schema") == SCHEMA and content.get("itself") == _hash(described)


def _hash(described: Content) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _hash_chunks(stream: BinaryIO) -> str:
    """Return the hash over the hashes of a file's chunks: a matrix of gigabytes is hashed on all cores."""
    descriptor = stream.fileno()
    starts = range(0, os.fstat(descriptor).st_size, CHUNK)
    with ThreadPoolExecutor(read_limits().threads) as pool:
        chunks = list(pool.map(lambda start: _hash_chunk(descriptor, start), starts))
    return hashlib.sha256(b"".join(chunks)).hexdigest()


def _hash_chunk(descriptor: int, start: int) -> bytes:
    digest, left = hashlib.sha256(), CHUNK
    while data := os.pread(descriptor, left, start + CHUNK - left):
        digest.update(data)
        left -= len(data)
    return digest.digest()

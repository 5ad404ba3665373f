"""The description of a cache entry, `content.json`: what the entry is, and the hashes of its files."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.process.limits import read_limits
from qlib_shadow_runner.storage.files import read_json_object, write_json
from qlib_shadow_runner.storage.listed_files import first_fault, hash_files, listed_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Content = Mapping[str, Any]

CONTENT: Final = "content.json"
SCHEMA: Final = 3
CHUNK: Final = 32 << 20


def describe_files(folder: Path, kind: str, about: Content) -> None:
    """Write the description of a folder's files; it holds its own hash, too."""
    content = {"schema": SCHEMA, "kind": kind, **about, "files": hash_files(folder, _hash_chunks)}
    write_json(folder / CONTENT, {**content, "itself": _hash(content)})


def read_verified(folder: Path) -> Content:
    """Return the description if every byte of the files is what was written; else raise ValueError."""
    content = read_unverified(folder)
    if not is_intact(content):
        raise ValueError("its content is not described")
    fault = first_fault(folder, listed_in(content), _hash_chunks)
    if fault:
        raise ValueError(fault)
    return content


def read_unverified(folder: Path) -> Content:
    """Return the description, empty where there is none, without a look at the files."""
    return read_json_object(folder / CONTENT) or {}


def is_intact(content: Content) -> bool:
    """Return whether a description is of this schema and matches its own hash."""
    described = {name: value for name, value in content.items() if name != "itself"}
    return described.get("schema") == SCHEMA and content.get("itself") == _hash(described)


def _hash(described: Content) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _hash_chunks(path: Path) -> str:
    """Return the hash over the hashes of a file's chunks: a matrix of gigabytes is hashed on all cores."""
    starts = range(0, path.stat().st_size, CHUNK)
    with ThreadPoolExecutor(read_limits().threads) as pool:
        chunks = list(pool.map(lambda start: _hash_chunk(path, start), starts))
    return hashlib.sha256(b"".join(chunks)).hexdigest()


def _hash_chunk(path: Path, start: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(start)
        return hashlib.sha256(stream.read(CHUNK)).digest()

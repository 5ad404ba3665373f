"""Writing that a crash cannot leave half done: temporary file beside the target, fsync, rename."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FENCES: Final[list[Callable[[], None]]] = []
"""What is asked before each write; it raises where this process may write no more."""


@contextlib.contextmanager
def fenced(check: Callable[[], None]) -> Iterator[None]:
    """Ask before each write of this process, whoever does it."""
    FENCES.append(check)
    try:
        yield
    finally:
        FENCES.remove(check)


def write_atomically(path: Path, content: bytes) -> None:
    """Put the content at the path, wholly or not at all."""
    for check in FENCES:
        check()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a write does not say where
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, document: object) -> None:
    """Write a document that people read too: indented, NaN refused."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")


def read_json_object(path: Path) -> dict[str, object] | None:
    """Read a JSON object, or None when there is none to read."""
    try:
        content = path.read_bytes()
        document = json.loads(content)
        if b"\\ud" in content.lower():  # half a pair is no text, and nobody could write it down
            json.dumps(document, ensure_ascii=False).encode()
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def read_json_object_of_others(path: Path) -> dict[str, object] | None:
    """Read a document that anybody may have damaged: what is no file, or may not be read, is none either."""
    try:
        return read_json_object(path) if path.is_file() else None
    except OSError:
        return None


def sync_folder(path: Path) -> None:
    """Make renames inside the folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Write files so that a crash never leaves half of one: temporary file, fsync, rename."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import NotAnObjectError, StageError
from qlib_shadow_runner.storage.relative_names import UnsafeNameError
from qlib_shadow_runner.storage.untrusted import DOCUMENT, FileKind, read_object, why_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WRITING: Final = threading.RLock()
"""Held during each write: who holds it knows that this process is in no write, and begins none."""
FENCES: Final[list[Callable[[], None]]] = []
"""Checks that run before each write; one raises when this process may write no more."""


@contextlib.contextmanager
def fenced(check: Callable[[], None]) -> Iterator[None]:
    """Run the check before each write of this process until the block ends."""
    FENCES.append(check)
    try:
        yield
    finally:
        FENCES.remove(check)


def write_atomically(path: Path, content: bytes) -> None:
    """Write the file whole or not at all."""
    with WRITING:
        for check in FENCES:
            check()
        _write_and_rename(path, content)


def _write_and_rename(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # an error of a write names no file
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, document: object) -> None:
    """Write a document, indented for readers; NaN is refused."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")


def read_json_object(
    path: Path, root: Path | None = None, kind: FileKind = DOCUMENT
) -> dict[str, object] | None:
    """Return the JSON object in a file; None where there is no file, or something else in it.

    Without a root, the folder of the file is one: see `untrusted`. A FIFO, a link or the like raises.
    """
    root = path.parent if root is None else root
    try:
        return read_object(root, path.relative_to(root).as_posix(), kind)
    except (FileNotFoundError, NotADirectoryError, NotAnObjectError, UnsafeNameError):
        return None


def read_json_object_of_others(
    path: Path, root: Path | None = None, kind: FileKind = DOCUMENT
) -> dict[str, object] | None:
    """Return the JSON object in a file that a user may have damaged; None also where it cannot be read."""
    try:
        return read_json_object(path, root, kind)
    except OSError:
        return None


def read_required_object(folder: Path, name: str, what: str) -> dict[str, object]:
    """Return a document of a folder that the user has named, or refuse the folder: it is not `what`."""
    try:
        return read_object(folder, name)
    except (FileNotFoundError, NotADirectoryError):
        raise StageError(Reason.INVALID_SPEC, f"{folder} is not {what}: it holds no {name}") from None
    except OSError as error:
        raise StageError(
            Reason.INVALID_SPEC, f"{folder} is not {what}: {why_unreadable(error, folder)}"
        ) from error


def sync_folder(path: Path) -> None:
    """Return when renames in the folder will survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""A partially downloaded file, kept on the volume across attempts and hashed as it grows.

.us_data_1d.download-<key>         the bytes; the key is of the URL without its query and the checksum
.us_data_1d.download-<key>.json    the validator (ETag or date) of the file on the server
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.errors import from_os_error
from qlib_shadow_runner.storage.files import read_json_object
from qlib_shadow_runner.storage.untrusted import open_for_writing

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

CHUNK: Final = 1 << 20
KEY_LENGTH: Final = 16


class Partial:
    """An open partial file, written without a buffer so that a killed process loses nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.resumed = False
        """Whether the bytes come from more than one response, possibly of different files."""
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        try:
            descriptor = open_for_writing(self.path, os.O_RDWR | os.O_APPEND)
            self._stream = os.fdopen(descriptor, "a+b", buffering=0)
            self._stream.seek(0)
            while chunk := self._stream.read(CHUNK):
                self._digest.update(chunk)
                self.size += len(chunk)
        except OSError as error:
            raise from_os_error(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    @property
    def sha256(self) -> str:
        """Return the hash of the bytes that have arrived."""
        return self._digest.hexdigest()

    @property
    def validator(self) -> str | None:
        """Return the validator of the file that the bytes belong to, or None."""
        kept = (read_json_object(self._note) or {}).get("validator")
        return kept if isinstance(kept, str) else None

    def append(self, chunk: bytes) -> None:
        """Append the whole chunk, or raise with the file's name."""
        view = memoryview(chunk)
        try:
            while view:
                written = self._stream.write(view) or 0
                self._digest.update(view[:written])
                self.size += written
                view = view[written:]
        except OSError as error:
            error.filename = str(self.path)
            raise from_os_error(error) from error

    def begin(self, validator: str | None) -> None:
        """Empty the file and record the validator of the new download."""
        self._stream.truncate(0)
        self.size, self.resumed, self._digest = 0, False, hashlib.sha256()
        try:
            # Need not be atomic: without a readable validator the checksum alone decides.
            self._note.write_text(json.dumps({"validator": validator}), encoding="utf-8")
        except OSError as error:
            raise from_os_error(error) from error

    def drop(self) -> None:
        """Remove the file and its validator."""
        remove(self.path)

    @property
    def _note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")


def partial_path(staging: Path, plain_url: str, sha256: str) -> Path:
    """Return the path of the partial file, which is the same in every attempt."""
    key = hashlib.sha256(f"{plain_url} {sha256}".encode()).hexdigest()[:KEY_LENGTH]
    return staging.with_name(f"{_stem(staging)}.download-{key}")


def sweep_others(staging: Path, keep: Path) -> None:
    """Remove partial files of other URLs or checksums; the caller holds the dataset's lock."""
    for path in staging.parent.glob(f"{_stem(staging)}.download-*"):
        if not path.name.startswith(keep.name):
            path.unlink(missing_ok=True)


def _stem(staging: Path) -> str:
    return staging.name.partition(".staging-")[0]


def remove(path: Path) -> None:
    """Remove a partial file with its validator."""
    for name in (path.name, path.name + ".json"):
        with contextlib.suppress(OSError):
            path.with_name(name).unlink(missing_ok=True)

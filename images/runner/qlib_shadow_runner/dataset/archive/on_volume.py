"""Find an archive on the volume and check its checksum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError, from_os_error
from qlib_shadow_runner.storage.listed_files import sha256_of
from qlib_shadow_runner.storage.volume import real_path
from qlib_shadow_runner.texts import nearest

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume


def locate(volume: Volume, path: str) -> Path:
    """Return the archive's path, or raise with a similar name beside it."""
    file = volume.locate(path)
    if not real_path(file).is_relative_to(volume.mount.resolve()):
        raise StageError(
            Reason.INVALID_SPEC, f"{path} is a link that leaves the volume. Put the file itself there."
        )
    if not file.is_file():
        raise StageError(
            Reason.DATASET_MISSING, f"there is no file {path}{_similar_name(file)} Put the archive there."
        )
    return file


def stamp(file: Path) -> str:
    """Return the file's stamp."""
    status = file.stat()
    return f"size={status.st_size} modified={status.st_mtime_ns}"


def content_digest(file: Path) -> str:
    """Return the SHA-256 of the whole file."""
    try:
        return sha256_of(file)
    except OSError as error:
        raise from_os_error(error) from error


def check_digest(file: Path, path: str, sha256: str) -> None:
    """Refuse a file with another checksum than the spec's."""
    found = content_digest(file)
    if found != sha256:
        raise StageError(
            Reason.CHECKSUM_MISMATCH,
            f"{path} has the SHA-256 {found}, not {sha256}. "
            "Correct spec.dataset.source.archive.sha256 if this file is meant, else put the right one there.",
        )


def _similar_name(file: Path) -> str:
    try:
        names = sorted(entry.name for entry in file.parent.iterdir())
    except OSError:
        return "."
    close = nearest(file.name, names)
    return f'; did you mean "{close}"?' if close else "."

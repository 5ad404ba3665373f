"""One interface to zip and tar files: list the members, then read the ones that are needed."""

from __future__ import annotations

import contextlib
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Final, Protocol

from qlib_shadow_runner.dataset.archive.members import Member, archive_invalid, refuse_kind, safe_parts
from qlib_shadow_runner.errors import from_os_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAMAGE: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    ValueError,
    OverflowError,
    RuntimeError,
)
"""The exceptions that the standard library raises on a damaged archive."""
ZIP_START: Final = b"PK\x03\x04"
ZSTD_START: Final = b"\x28\xb5\x2f\xfd"
ENCRYPTED: Final = 0x1


class Container(Protocol):
    """An open archive."""

    def members(self) -> Iterator[Member]:
        """Yield the regular files; refuse links and special files."""

    def open_members(self) -> Iterator[tuple[Member, IO[bytes]]]:
        """Yield the same files opened for reading, in the cheapest order."""


class Zip:
    """A zip file."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def members(self) -> Iterator[Member]:
        """Yield the regular files in the archive's directory."""
        for info in self._archive.infolist():
            if (member := self._member(info)) is not None:
                yield member

    def open_members(self) -> Iterator[tuple[Member, IO[bytes]]]:
        """Yield the opened files in the directory's order."""
        for info in self._archive.infolist():
            if (member := self._member(info)) is not None:
                with self._archive.open(info) as stream:
                    yield member, stream

    @staticmethod
    def _member(info: zipfile.ZipInfo) -> Member | None:
        parts, kind = safe_parts(info.filename), stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise refuse_kind(info.filename, "a symbolic link" if kind == stat.S_IFLNK else "a special file")
        if info.is_dir() or kind == stat.S_IFDIR or not parts:
            return None
        if info.flag_bits & ENCRYPTED:
            raise archive_invalid("the archive is encrypted. Pack it without a password.")
        return Member(parts, info.file_size)


class Tar:
    """A tar file, compressed or not; the second pass reads it from the beginning again."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def members(self) -> Iterator[Member]:
        """Yield the regular files while reading all headers."""
        for info in self._archive:
            if (member := self._member(info)) is not None:
                yield member

    def open_members(self) -> Iterator[tuple[Member, IO[bytes]]]:
        """Yield the opened files in the archive's order."""
        for info in self._archive:
            member = self._member(info)
            stream = None if member is None else self._archive.extractfile(info)
            if member is not None and stream is not None:
                with stream:
                    yield member, stream

    @staticmethod
    def _member(info: tarfile.TarInfo) -> Member | None:
        parts = safe_parts(info.name)
        if info.isdir() or (info.isreg() and not parts):
            return None
        if not info.isreg():
            kind = "a symbolic link" if info.issym() else "a hard link" if info.islnk() else "a special file"
            raise refuse_kind(info.name, kind)
        return Member(parts, info.size)


@contextlib.contextmanager
def open_container(path: Path, name: str) -> Iterator[Container]:
    """Open an archive by its content, not by its suffix; any damage raises one error sentence."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield Zip(archive)
        else:
            with _open_tar(path, name) as tar:
                yield Tar(tar)
    except DAMAGE as error:
        raise archive_invalid(f"{name} is damaged ({_brief(error)}). Make or fetch it again.") from error
    except OSError as error:
        if error.errno is None:  # gzip and bz2 raise it for damage
            raise archive_invalid(f"{name} is damaged ({_brief(error)}). Make or fetch it again.") from error
        raise from_os_error(error) from error


def _open_tar(path: Path, name: str) -> tarfile.TarFile:
    with path.open("rb") as stream:
        start = stream.read(4)
    if start == ZIP_START:
        raise archive_invalid(f"{name} is a zip without its end: it was cut short. Make or fetch it again.")
    if start == ZSTD_START:
        raise archive_invalid(
            f"{name} is compressed with zstd, which is not read. Use zip, tar.gz or tar.xz."
        )
    try:
        return tarfile.open(path, "r:*")
    except tarfile.ReadError as error:
        raise archive_invalid(f"{name} is neither a zip nor a tar file (.tar, .tar.gz, .tar.xz).") from error


def _brief(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:120] or type(error).__name__

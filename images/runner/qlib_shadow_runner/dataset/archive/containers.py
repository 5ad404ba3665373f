"""One interface to zip and tar files: list the members, then read the ones that are needed.

Both passes read to the very end: a damaged archive is refused as a whole, never unpacked in part.
"""

from __future__ import annotations

import contextlib
import lzma
import stat
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from qlib_shadow_runner.dataset.archive.members import Member, archive_invalid, refuse_kind, safe_parts
from qlib_shadow_runner.dataset.archive.tar_stream import NotTarError, TarStream
from qlib_shadow_runner.dataset.archive.zip_directory import STARTS as ZIP_STARTS
from qlib_shadow_runner.dataset.archive.zip_directory import check_end
from qlib_shadow_runner.dataset.compressed import TooLarge, kind_of_compression, unpacked
from qlib_shadow_runner.errors import from_os_error

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path

DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    ValueError,
    OverflowError,
    RuntimeError,
)
"""The exceptions that the standard library and our readers raise on a damaged archive."""
ZSTD_START: Final = b"\x28\xb5\x2f\xfd"
COUNTED: Final = 1 << 16
"""Some tools count the files of a zip modulo this."""
ENCRYPTED: Final = 0x1
PACKED_BY: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2})
"""What zips are read of: LZMA may take 4 GiB of memory, and Python does not read the rest."""


class Readable(Protocol):
    """The content of a member."""

    def read(self, most: int, /) -> bytes:
        """Return the next bytes, at most so many; none at the end."""


class Container(Protocol):
    """An open archive."""

    def members(self) -> Iterator[Member]:
        """Yield the regular files; refuse links and special files."""

    def open_members(self) -> Iterator[tuple[Member, Readable]]:
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

    def open_members(self) -> Iterator[tuple[Member, Readable]]:
        """Yield the opened files in the directory's order.

        Folders are opened, too: the name before a member's content shows a damaged name in the directory.
        """
        for info in self._archive.infolist():
            with self._archive.open(info) as stream:
                if (member := self._member(info)) is not None:
                    yield member, stream

    @staticmethod
    def _member(info: zipfile.ZipInfo) -> Member | None:
        parts, kind = safe_parts(info.filename), stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise refuse_kind(info.filename, "a symbolic link" if kind == stat.S_IFLNK else "a special file")
        if info.is_dir() or not parts:
            return None
        if kind == stat.S_IFDIR:
            raise ValueError(f"{info.filename[:80]} is a folder by its kind and a file by its name")
        if info.flag_bits & ENCRYPTED:
            raise archive_invalid("the archive is encrypted. Pack it without a password.")
        if info.compress_type not in PACKED_BY:
            raise archive_invalid(
                f'the archive holds "{info.filename[:80]}", packed by the method {info.compress_type}; '
                "only deflate and bzip2 are read. Pack it by deflate, which is usual."
            )
        return Member(parts, info.file_size)


class Tar:
    """A tar file, compressed or not; the second pass reads it from the beginning again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def members(self) -> Iterator[Member]:
        """Yield the regular files while reading the whole archive."""
        with self._open() as stream:
            yield from TarStream(stream).members()

    def open_members(self) -> Iterator[tuple[Member, Readable]]:
        """Yield the opened files in the archive's order."""
        with self._open() as stream:
            tar = TarStream(stream)
            for member in tar.members():
                yield member, tar

    def _open(self) -> io.BufferedReader:
        packed = self._path.open("rb")
        begins = kind_of_compression(packed.peek())
        return packed if begins is None else unpacked(packed, begins, self._path.stat().st_size)


@contextlib.contextmanager
def open_container(path: Path, name: str) -> Iterator[Container]:
    """Open an archive by its content, not by its suffix; any damage raises one error sentence."""
    try:
        with path.open("rb") as stream:
            start = stream.read(len(ZSTD_START))
            entries = check_end(stream) if start in ZIP_STARTS else None
        if start == ZSTD_START:
            raise archive_invalid(
                f"{name} is compressed with zstd, which is not read. Use zip, tar.gz or tar.xz."
            )
        if entries is None:
            yield Tar(path)
        else:
            with zipfile.ZipFile(path) as archive:
                if len(archive.infolist()) % COUNTED != entries % COUNTED:
                    raise ValueError("its list of files is damaged")
                yield Zip(archive)
    except NotTarError as error:
        raise archive_invalid(f"{name} is neither a zip nor a tar file (.tar, .tar.gz, .tar.xz).") from error
    except TooLarge as error:
        raise archive_invalid(f"{name} is not unpacked: {error}") from error
    except DAMAGE as error:
        raise archive_invalid(f"{name} is damaged ({_brief(error)}). Make or fetch it again.") from error
    except OSError as error:
        if error.errno is None:  # bz2 raises it for damage
            raise archive_invalid(f"{name} is damaged ({_brief(error)}). Make or fetch it again.") from error
        raise from_os_error(error) from error


def _brief(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:120] or type(error).__name__

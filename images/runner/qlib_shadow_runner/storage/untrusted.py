"""Open what another run may have written: only regular files, never through a link, never of any size.

Each run can put anything into its own folder: a FIFO, on which a reader waits for ever; a link to a file
outside of the volume; a sparse file of terabytes. So every file on the volume is opened here, below a root:

- component by component, by descriptors, so that no part of the name may be a link, not even for an instant;
- without waiting, and only if it is a regular file before and after it is opened;
- and only up to the size that files of its kind have.

The root is named by the user or by this process, and may be reached through links.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract.strict_json import is_deep
from qlib_shadow_runner.errors import DamagedFileError, NotAnObjectError
from qlib_shadow_runner.storage.relative_names import parts_of
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class FileKind:
    """What a file is expected to be, and the bytes that one may have."""

    name: str
    most: int


DOCUMENT: Final = FileKind("JSON document", 2 * MIB)
"""Metadata, metrics, results, owners: kilobytes; more than Kubernetes allows for a whole resource."""
LISTING: Final = FileKind("listing of files", 16 * MIB)
"""100 bytes for each file of a training, or each instrument of a matrix."""
RECORD: Final = FileKind("MLflow record", 64 * KIB)
"""meta.yaml: a dozen lines."""
TEXT: Final = FileKind("text file", 16 * MIB)
"""Workflows and templates, which a ConfigMap of 1 MiB can hold; calendars, instruments, summaries."""
PAGE: Final = FileKind("page", 128 * MIB)
"""report.html: a few megabytes of charts."""
LOG: Final = FileKind("log", 4 * GIB)
"""Read in pieces, so that only time limits it."""
TABLE: Final = FileKind("table", 4 * GIB)
"""Signals, predictions, the catalog: a day of 5,000 instruments is 100 KB, so this is 40,000 days."""
ARTIFACT: Final = FileKind("file of a training", 16 * GIB)
"""Hashed or copied in pieces; all files of one training together have no more."""
PRICES: Final = FileKind("file of one instrument", 64 * MIB)
"""4 bytes a bar: 64 MiB are 100 years of minutes."""
MATRIX: Final = FileKind("matrix", 1024 * GIB)
"""Mapped or hashed in pieces; never read into memory."""

FOLDER_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
CAREFUL: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
FILE_FLAGS: Final = os.O_RDONLY | CAREFUL
CHUNK: Final = MIB
SPECIAL: Final[Sequence[tuple[Callable[[int], bool], str]]] = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "folder"),
    (stat.S_ISLNK, "link"),
    (stat.S_ISFIFO, "FIFO"),
    (stat.S_ISSOCK, "socket"),
)


def open_file(root: Path, name: str, kind: FileKind) -> BinaryIO:
    """Return a regular file below a root, opened; the caller closes it.

    Raises FileNotFoundError where there is nothing, UnsafeNameError for a name that leads elsewhere, and
    DamagedFileError for anything but a regular file of at most the kind's size.
    """
    *folders, last = parts_of(name)
    path = root / name
    with _naming(path), _opened_folder(root, folders) as folder:
        _require_file(os.stat(last, dir_fd=folder, follow_symlinks=False), path, kind)
        descriptor = os.open(last, FILE_FLAGS, dir_fd=folder)
        try:
            _require_file(os.fstat(descriptor), path, kind)  # it may have been exchanged in between
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise


def read_file(root: Path, name: str, kind: FileKind) -> bytes:
    """Return the content of a regular file below a root; see `open_file`."""
    content = bytearray()
    with open_file(root, name, kind) as stream:
        while data := stream.read(min(CHUNK, kind.most + 1 - len(content))):
            content += data
    if len(content) > kind.most:  # it grows while it is read
        raise _too_large(root / name, kind, len(content))
    return bytes(content)


def read_text(root: Path, name: str, kind: FileKind = TEXT) -> str:
    """Return the text of a file below a root; see `open_file`."""
    try:
        return read_file(root, name, kind).decode()
    except UnicodeDecodeError:
        raise DamagedFileError(root / name, "is not UTF-8 text") from None


def read_object(root: Path, name: str, kind: FileKind = DOCUMENT) -> dict[str, object]:
    """Return the JSON object in a file below a root; see `open_file`."""
    content = read_file(root, name, kind)
    try:
        document = json.loads(content)
        if is_deep(document):
            document = None
        if b"\\ud" in content.lower():  # half a surrogate pair, which cannot be encoded again
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise NotAnObjectError(root / name)
    return document


def missing_texts(root: Path, name: str, texts: Iterable[str]) -> list[str]:
    """Return those of some texts that a log does not hold; it is read in pieces, since it may be long."""
    left = {text: text.encode() for text in texts}
    overlap = max(map(len, left.values()), default=0)
    piece = b""
    with open_file(root, name, LOG) as stream:
        while left and (data := stream.read(CHUNK)):
            piece = piece[max(0, len(piece) - overlap) :] + data
            left = {text: found for text, found in left.items() if found not in piece}
    return list(left)


def status_of(root: Path, name: str) -> os.stat_result:
    """Return the status of what lies below a root, of a link itself and not of its target."""
    *folders, last = parts_of(name)
    with _naming(root / name), _opened_folder(root, folders) as folder:
        return os.stat(last, dir_fd=folder, follow_symlinks=False)


def is_file(root: Path, name: str) -> bool:
    """Return whether a regular file lies below a root under this name, in no folder that is a link."""
    try:
        return stat.S_ISREG(status_of(root, name).st_mode)
    except OSError:
        return False


def copy_file(root: Path, name: str, kind: FileKind, target: Path) -> None:
    """Copy a file below a root, with the bytes that it has now, not those that are added meanwhile."""
    with open_file(root, name, kind) as stream, target.open("xb") as copy:
        left = os.fstat(stream.fileno()).st_size
        while data := stream.read(min(CHUNK, left)):
            copy.write(data)
            left -= len(data)


def open_for_writing(path: Path, flags: int, mode: int = 0o664) -> int:
    """Return the descriptor of a file in which this process writes; it is created where there is none.

    What another has put there, a link or a FIFO, is refused as when it is read.
    """
    try:
        descriptor = os.open(path, flags | os.O_CREAT | CAREFUL, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise DamagedFileError(path, f"is a {_what(path.lstat())}, where a file is expected") from None
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise DamagedFileError(path, f"is a {_what(status)}, where a file is expected")
    return descriptor


def is_folder(root: Path, name: str) -> bool:
    """Return whether a folder lies below a root under this name, not a link to one."""
    try:
        return stat.S_ISDIR(status_of(root, name).st_mode)
    except OSError:
        return False


def names_in(root: Path, name: str = "") -> list[str]:
    """Return the sorted names in a folder below a root, or in the root; see `open_file`."""
    folders = parts_of(name) if name else ()
    with _naming(root / name), _opened_folder(root, folders) as folder:
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            return sorted(os.listdir(readable))  # noqa: PTH208 - of a descriptor
        finally:
            os.close(readable)


def why_unreadable(error: OSError, root: Path | None = None) -> str:
    """Return in words which file cannot be read, by its path below the root if there is one, and why."""
    path = str(error.path if isinstance(error, DamagedFileError) else error.filename)
    return f"{path.removeprefix(f'{root}/') if root else path} {fault_of(error)}"


def fault_of(error: OSError) -> str:
    """Return what is wrong with the file of an error."""
    if isinstance(error, DamagedFileError):
        return error.fault
    return "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"


@contextlib.contextmanager
def _opened_folder(root: Path, folders: Sequence[str]) -> Iterator[int]:
    """Open the root, which may be a link, then each folder below it, which may not."""
    descriptor = os.open(root, FOLDER_FLAGS)
    try:
        path = root
        for part in folders:
            path = path / part
            status = os.stat(part, dir_fd=descriptor, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                raise DamagedFileError(path, f"is a {_what(status)}, where a folder is expected")
            inner = os.open(part, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the whole path in errors: the kernel knows only the part below a descriptor."""
    try:
        yield
    except DamagedFileError:
        raise
    except OSError as error:
        error.filename = str(path)
        raise


def _require_file(status: os.stat_result, path: Path, kind: FileKind) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise DamagedFileError(path, f"is a {_what(status)}, where a {kind.name} is expected")
    if status.st_size > kind.most:
        raise _too_large(path, kind, status.st_size)


def _too_large(path: Path, kind: FileKind, size: int) -> DamagedFileError:
    return DamagedFileError(
        path, f"has {format_size(size)}, and a {kind.name} has at most {format_size(kind.most)}"
    )


def _what(status: os.stat_result) -> str:
    return next((what for applies, what in SPECIAL if applies(status.st_mode)), "device")

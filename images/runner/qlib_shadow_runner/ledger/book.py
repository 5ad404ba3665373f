"""Begin a book and append to its chain: a file appears whole, under its name, and is never replaced.

A file is written as a draft, brought to the disk, and then linked to its name, which succeeds only where the
name is free. An entry's name is its number alone: of two writers that go on from one head, also where a lock
has failed them, the second finds the name taken. A process that is killed leaves a draft, which readers leave
out and the next night removes.
"""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.crash_points import LedgerPoint, fault_point
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import ENTRY, damaged, entry_of, form_of
from qlib_shadow_runner.ledger.entries import BOOK_FILE, CHAIN, HALTS, BookDocument, encode, name_of
from qlib_shadow_runner.ledger.forms import misfit
from qlib_shadow_runner.storage.drafts import abandoned_drafts, draft_of, remove_all
from qlib_shadow_runner.storage.files import FENCES, WRITING, sync_folder
from qlib_shadow_runner.storage.untrusted import read_file
from qlib_shadow_runner.storage.volume import make_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from qlib_shadow_runner.ledger.entry import Entry

NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def begin(folder: Path, document: BookDocument) -> None:
    """Write BOOK.json, after the folders beside it; where there is a book, it stays as it is."""
    require_form(document, BookDocument)
    for name in (CHAIN, HALTS):
        make_folder(folder / name)
    sync_folder(folder)
    sync_folder(folder.parent)
    write_new(folder / BOOK_FILE, encode(document))


def append(folder: Path, document: Mapping[str, Any]) -> Entry:
    """Write one entry and return it; the caller holds the book's lock and has read the whole chain.

    An entry of the same bytes that is there already counts as written. Another one of this number comes from
    a writer that has lost the lock, or has taken it: the next attempt reads it and goes on from there.
    """
    require_form(document, form_of(document))
    path, content = name_of(document["number"]), encode(document)
    if not write_new(folder / path, content):
        if _there(folder, path) != content:
            said = f"another run has written {folder / path} meanwhile. This one is tried again."
            raise StageError(Reason.LEDGER_LOCKED, said)
        sync_folder(folder / CHAIN)
    return entry_of(folder, path, document, hashlib.sha256(content).hexdigest())


def sync_book(folder: Path) -> None:
    """Return when every name that was read in a book will survive a power cut.

    A process that was killed after a link has not waited for that, and no other process does it in its place.
    """
    for name in (folder / CHAIN, folder, folder.parent):
        sync_folder(name)


def require_form(document: Mapping[str, Any], form: type) -> None:
    """Raise where a document does not have the form in which it is read: such a book would be damaged."""
    fault = misfit(document, form)
    if fault is not None:
        raise ValueError(f"an entry that would be written {fault}")


def write_new(path: Path, content: bytes) -> bool:
    """Write a file whole under a name that is free; return False where it is not, and change nothing."""
    with WRITING:
        for check in FENCES:
            check()
        try:
            with draft_of(path) as (draft, stream):
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
                fault_point(LedgerPoint.DRAFTED)
                os.link(draft, path, follow_symlinks=False)
                fault_point(LedgerPoint.LINKED)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno in NO_LINKS and error.filename2:
                raise _without_links(path) from error
            if error.filename is None:
                error.filename = str(path)  # an error of a write names no file
            raise
        sync_folder(path.parent)
        fault_point(LedgerPoint.SYNCED)
    return True


def remove_drafts(folder: Path) -> None:
    """Remove what killed processes left in a book; the caller holds its lock."""
    for name in ("", CHAIN, HALTS):
        remove_all(abandoned_drafts(folder / name))


def _there(folder: Path, path: str) -> bytes:
    try:
        return read_file(folder.parent, f"{folder.name}/{path}", ENTRY)
    except OSError as error:
        raise damaged(folder / path, f"cannot be read ({error})") from error


def _without_links(path: Path) -> StageError:
    return StageError(
        Reason.VOLUME_NOT_WRITABLE,
        f"{path} cannot be written: the volume has no hard links, by which an entry of a book gets its "
        "name at once and for ever. Use a volume that has them, such as ext4, xfs, NFS or CephFS.",
    )

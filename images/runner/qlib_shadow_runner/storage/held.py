"""Which process holds a file or folder: the one that has locked it by flock.

The kernel (on NFS and CephFS the server) releases the lock when its holder ends, however it ends. On other
than local filesystems a mount may keep locks to the node (`local_lock`, `nolock`, many FUSE filesystems) or
not have them. There a holder counts as ended when it has touched nothing for longer than an expiry.

    run folder, on a volume    runs/lease.py             the last attempt takes it over; nothing waits
    run folder, on a laptop    cli/run_folder_lock.py    the second command is refused
    entry of the cache         cache/store.py            held while it is made; removed without a holder
    dataset, catalog, book     storage/lock.py           the others wait; says what it does without locks
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import stat
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qlib_shadow_runner.storage.mounts import is_local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


def lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Return False where another process holds the lock; a filesystem without locks has no holder to show."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def lock_folder(folder: Path) -> int | None:
    """Return the descriptor that holds the folder until it is closed; None where another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    if lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def seconds_unheld(path: Path, expiry: float) -> float | None:
    """Return for how long nothing has held a path; None where a holder lives, may live, or never was.

    The expiry applies where locks may not reach, and is long enough for clocks that differ.
    """
    try:
        # Another run may have put a FIFO there, or a link.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return None
        age = max(0.0, time.time() - status.st_mtime)
        is_free = lock(descriptor, fcntl.LOCK_SH)  # shared, so that two that look do not see each other
    finally:
        os.close(descriptor)
    return age if is_free and (is_local(path.parent) or age > expiry) else None


@contextlib.contextmanager
def repeated(action: Callable[[], bool], seconds: float) -> Iterator[None]:
    """Call the action at intervals in a thread, until it returns False or the block ends.

    A volume that does not answer for a moment is asked again.
    """
    done = threading.Event()

    def repeat() -> None:
        goes_on = True
        while goes_on and not done.wait(seconds):
            with contextlib.suppress(OSError):
                goes_on = action()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def this_process() -> dict[str, object]:
    """Return what a holder writes about itself."""
    since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"host": platform.node(), "pid": os.getpid(), "since": since}


def holder_name(what: str, holder: Mapping[str, object]) -> str:
    """Return who a holder is, from what it wrote about itself."""
    return f"{what} on {holder.get('host')} (process {holder.get('pid')}, since {holder.get('since')})"

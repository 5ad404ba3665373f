"""Cached build results: folders named after their inputs, each complete or absent."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def root() -> Path:
    """Return the cache's folder: the user's, or the one in XDG_CACHE_HOME."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "qlib-shadow-operator"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold a lock for the named work; the kernel releases it when the holder dies."""
    with (root() / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def keep(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return the folder `<name>-<key>`; if it is missing, create it by `make` in a temporary folder."""
    folder = root() / f"{name}-{key}"
    if folder.is_dir():
        return folder
    with lock(name):
        if folder.is_dir():
            return folder
        draft = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=root()))
        try:
            make(draft)
            draft.chmod(0o755)
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def digest(parts: Iterable[bytes | str | Path]) -> str:
    """Return a short hash of files (by content) and words."""
    total = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part
        content = content.encode() if isinstance(content, str) else content
        total.update(len(content).to_bytes(8, "big") + content)
    return total.hexdigest()[:12]

"""A base image for machines that reach no registry: Debian with its Python, by debootstrap.

It replaces docker.io/library/python:3.12-slim, which Dockerfiles name by default.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path

from testcluster import cache
from testcluster.commands import run, say

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "libgomp1", "python3", "python3-venv", "tzdata")
UNREAD = (
    *("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man"),
    *("var/cache/apt", "var/lib/apt/lists"),
)
"""Files that the slim images leave out, too."""
ARCHIVE = "rootfs.tar"


def key() -> str:
    """Return the hash of what the base depends on."""
    return cache.digest([SUITE, *PACKAGES, *UNREAD])


def archive() -> Path:
    """Return the root file system as an archive."""
    return cache.keep("base", key(), make) / ARCHIVE


def make(folder: Path) -> None:
    """Install a minimal Debian into a folder, remove unneeded files and pack it."""
    say(f"making a base image from Debian {SUITE}; one to two minutes, then kept")
    tree = Path(tempfile.mkdtemp(dir=folder)) / "rootfs"
    run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, tree)
    for name in UNREAD:
        shutil.rmtree(tree / name)
        (tree / name).mkdir(mode=0o755)
    (tree / "var/cache/apt/archives/partial").mkdir(parents=True)
    with tarfile.open(folder / ARCHIVE, "w") as packed:
        packed.add(tree, ".", filter=without_devices)
    shutil.rmtree(tree.parent)


def without_devices(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Skip device files: every container gets its own."""
    return None if entry.isdev() else entry

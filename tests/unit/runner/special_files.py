"""What another run may put in the place of a file: nothing that a reader expects."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

Put = Callable[[Path], None]


def _socket(path: Path) -> None:
    """Bind a socket by a short name: a socket's path has 108 bytes."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


def _link_out(path: Path) -> None:
    """Link to a file outside of the volume, with what was here: a reader that follows finds no fault."""
    outside = path.parent / f".outside-{path.name}"
    outside.write_bytes(b"{}")
    path.symlink_to(outside)


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 200 << 30)


def _forbidden(path: Path) -> None:
    path.write_bytes(b"{}")
    path.chmod(0)


def _written(content: bytes) -> Put:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


SPECIAL: Final[Mapping[str, Put]] = {
    "FIFO": os.mkfifo,
    "socket": _socket,
    "link": _link_out,
    "link to itself": lambda path: path.symlink_to(path.name),
    "folder": Path.mkdir,
    "sparse": _sparse,
}
"""What is no file, or none of a size that can be read."""
CONTENTS: Final[Mapping[str, bytes]] = {
    "empty": b"",
    "truncated": b'{"run_id": "x", "stages": {"qrun"',
    "not UTF-8": b'{"run_id": "\xff\xfe"}',
    "deep": b'{"a":' + b"[" * 200_000,
    "big number": b'{"a": ' + b"9" * 10_000 + b"}",
    "half a surrogate": b'{"a": "\\ud800"}',
}
"""What is a file, and holds no document."""
DAMAGES: Final[Mapping[str, Put]] = {
    **SPECIAL,
    **{name: _written(content) for name, content in CONTENTS.items()},
    **({} if os.getuid() == 0 else {"forbidden": _forbidden}),  # root reads everything
}


def replace(path: Path, damage: str) -> None:
    """Put a damage in the place of whatever is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    DAMAGES[damage](path)

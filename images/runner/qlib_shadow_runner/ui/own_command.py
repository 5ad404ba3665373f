"""Run a command of qlib-shadow in a process of its own, which takes the memory of a whole run with it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT_SECONDS: Final = 120


class BusyError(Exception):
    """Something is being computed already, and a second one would keep the pages from others."""

    def __init__(self) -> None:
        super().__init__("another book is being computed again; ask once more in a minute")


@dataclass(frozen=True)
class OwnCommand:
    """Runs commands on one volume, one at a time."""

    mount: Path
    _computing: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Raise BusyError where this is done at the same time already."""
        if not self._computing.acquire(blocking=False):
            raise BusyError
        try:
            yield
        finally:
            self._computing.release()

    def json(self, *words: str) -> Any:
        """Return what a command prints with --json; its failure is raised with its reason and sentence."""
        command = [
            sys.executable,
            "-P",
            "-m",
            "qlib_shadow_runner",
            *words,
            "--data",
            str(self.mount),
            "--json",
        ]
        what = " ".join(words[:2])
        try:
            with self.alone():
                ended = subprocess.run(
                    command,
                    env=dict(os.environ),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=LIMIT_SECONDS,
                    check=False,
                )
            document = json.loads(ended.stdout)
        except subprocess.TimeoutExpired:
            raise StageError(
                Reason.INTERNAL_ERROR, f"{what} took longer than {LIMIT_SECONDS} seconds"
            ) from None
        except ValueError:
            raise StageError(
                Reason.INTERNAL_ERROR, f"{what} ended with {ended.returncode} and said nothing"
            ) from None
        if ended.returncode:
            raise StageError(Reason(document["reason"]), str(document["message"]))
        return document

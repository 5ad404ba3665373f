"""Make the comparison of some runs in a process of its own, which takes the memory of the charts with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException

from qlib_shadow_runner.process.environment import drawing_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT_SECONDS: Final = 120


@dataclass(frozen=True)
class Comparer:
    """Runs `qlib-shadow compare`, one at a time: each reads whole runs and draws charts."""

    mount: Path
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def compare(self, ids: Sequence[str]) -> bytes:
        """Return the page of a comparison, or refuse it with the sentence of the command."""
        with self._busy, tempfile.TemporaryDirectory(prefix="qlib-shadow-compare-") as scratch:
            target = Path(scratch, "compare.html")
            command = [
                *(sys.executable, "-P", "-m", "qlib_shadow_runner", "compare"),
                *ids,
                *("--data", str(self.mount), "--output", str(target), "--json"),
            ]
            environ = {**os.environ, **drawing_environment(os.environ, scratch)}
            try:
                ended = subprocess.run(
                    command,
                    env=environ,
                    cwd=scratch,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=LIMIT_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise HTTPException(
                    HTTPStatus.SERVICE_UNAVAILABLE, f"the comparison took longer than {LIMIT_SECONDS} seconds"
                ) from None
            if ended.returncode or not target.is_file():
                raise HTTPException(
                    HTTPStatus.UNPROCESSABLE_ENTITY, _sentence(ended.stdout, ended.returncode)
                )
            return target.read_bytes()


def _sentence(output: bytes, code: int) -> str:
    """Return why the command failed, as it says in JSON."""
    try:
        return f"these runs cannot be compared: {json.loads(output)['message']}"
    except (ValueError, LookupError, TypeError):
        return f"these runs cannot be compared: the command ended with {code}"

"""Run a command of qlib-shadow in a process of its own, which takes the memory of a whole run with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_SECONDS: Final = 120


@dataclass(frozen=True)
class OwnCommand:
    """Runs commands on one volume."""

    mount: Path

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

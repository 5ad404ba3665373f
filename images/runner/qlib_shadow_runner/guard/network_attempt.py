"""One attempt to reach the network: who, whereto, and the sentence that the user reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError

ENV_CHANNEL: Final = "QLIB_SHADOW_GUARD"
"""The pipe that Python's attempts are told through; site/sitecustomize.py has the name once more."""
COMMAND_MAX: Final = 160


@dataclass(frozen=True)
class NetworkAttempt:
    """What is known of it."""

    address: str
    pid: int
    program: str
    place: str = ""
    """The line of code, where Python told."""

    @classmethod
    def parse(cls, line: bytes) -> NetworkAttempt | None:
        """Read what the audit hook wrote; None for what is no report."""
        try:
            told = json.loads(line)
            pid = int(told["pid"])
            return cls(str(told["address"]), pid, program_of(pid), str(told["place"]))
        except (ValueError, TypeError, KeyError):
            return None

    @classmethod
    def of_process(cls, pid: int, address: str) -> NetworkAttempt:
        """Ask the kernel who the process is."""
        return cls(address, pid, program_of(pid))

    def error(self) -> StageError:
        """Say what happened, and what to do."""
        place = f", at {self.place}" if self.place else ""
        return StageError(
            Reason.SHADOW_PROMISE_BROKEN,
            f"the qrun stage tried to connect to {self.address} ({self.program}, process {self.pid}{place}). "
            "It was refused and the run was ended: research reaches no network and trades nothing. "
            "Remove that code from the image; data comes in through spec.dataset.source alone.",
        )


def program_of(pid: int) -> str:
    """Name a process by its command line, or by what the kernel calls it."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        line = b" ".join(words).decode(errors="replace").strip()
        line = line or Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return "a process that has ended"
    line = "".join(letter if letter.isprintable() else " " for letter in line)
    return line if len(line) <= COMMAND_MAX else line[:COMMAND_MAX] + "…"

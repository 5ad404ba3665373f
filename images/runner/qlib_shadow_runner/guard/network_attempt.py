"""An attempt to reach the network: which process, which address, and the message for the user."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError

ENV_CHANNEL: Final = "QLIB_SHADOW_GUARD"
"""The pipe through which Python reports attempts; site/sitecustomize.py has the same name."""
COMMAND_MAX: Final = 160


@dataclass(frozen=True)
class NetworkAttempt:
    """What is known of an attempt."""

    address: str
    pid: int
    program: str
    place: str = ""
    """The line of code, where Python reported it."""

    @classmethod
    def parse(cls, line: bytes) -> NetworkAttempt | None:
        """Return the attempt that the audit hook wrote; None for anything else."""
        try:
            fields = json.loads(line)
            pid = int(fields["pid"])
            return cls(str(fields["address"]), pid, program_of(pid), str(fields["place"]))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None

    @classmethod
    def of_process(cls, pid: int, address: str) -> NetworkAttempt:
        """Return the attempt of a process that the kernel names."""
        return cls(address, pid, program_of(pid))

    def error(self) -> StageError:
        """Return the error that ends the run."""
        place = f", at {self.place}" if self.place else ""
        return StageError(
            Reason.SHADOW_PROMISE_BROKEN,
            f"the qrun stage tried to connect to {self.address} ({self.program}, process {self.pid}{place}). "
            "It was refused and the run was ended: research reaches no network and trades nothing. "
            "Remove that code from the image; data comes in through spec.dataset.source alone.",
        )


def program_of(pid: int) -> str:
    """Return a process's command line, or the kernel's name for it."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        line = b" ".join(words).decode(errors="replace").strip()
        line = line or Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return "a process that has ended"
    line = "".join(letter if letter.isprintable() else " " for letter in line)
    return line if len(line) <= COMMAND_MAX else line[:COMMAND_MAX] + "…"

"""Finding the processes of a stage, and stopping them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

DATASET_STEP = b"\0qlib_shadow_runner.stages.steps\0dataset\0"


def step_of(pid: int) -> int:
    """Wait for the child that makes the dataset; a stage has others, such as git, before."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    while True:
        for child in children.read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if (
                    b"qlib_shadow_runner.stages.steps\0dataset\0"
                    in Path(f"/proc/{child}/cmdline").read_bytes()
                ):
                    return int(child)
        os.sched_yield()


def freeze(pid: int) -> None:
    """Let only SIGKILL reach a process; a SIGTERM that came before it has stopped would still end it."""
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "T":
        os.sched_yield()

"""The reason for which qrun failed, from its last output: it has one exit code for everything."""

from __future__ import annotations

import re
from typing import Final

from qlib_shadow_runner.contract import Reason, Stage
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.process.limits import more_memory
from qlib_shadow_runner.process.supervisor import out_of_memory

SIGKILL_CODES: Final = (-9, 137)
ERROR_LINE: Final = re.compile(
    r"(?:^|An exception has been raised\[)(\w[\w.]*(?:Error|Exception|Exit|Interrupt)\b.*?)(?:\]\.)?$"
)
DISK_FULL: Final = ("No space left on device", "Disk quota exceeded")
NO_MEMORY: Final = ("MemoryError", "Unable to allocate", "Cannot allocate memory", "bad_alloc")
BAD_CONFIG: Final = re.compile(
    r"TypeError: .*(?:unexpected keyword argument|required positional argument|multiple values for)"
    r"|LightGBMError: (?:Check failed|Unknown|Forced splits|.*\bparameter\b)"
    r"|ModuleNotFoundError: |AttributeError: module .* has no attribute"
)
"""Errors of a workflow that asks for something impossible, which no retry changes."""


def training_error(code: int, tail: str) -> StageError:
    """Return the error for qrun's exit code and the end of its output."""
    line = last_error(tail)
    if code in SIGKILL_CODES:
        return out_of_memory("qrun", Stage.QRUN)
    if any(mark in tail for mark in DISK_FULL):
        return StageError(Reason.OUT_OF_DISK, f"qrun found no space left: {line}. Free space on the volume.")
    if any(mark in line for mark in NO_MEMORY):
        return StageError(Reason.OUT_OF_MEMORY, f"qrun ran out of memory: {line}. {more_memory(Stage.QRUN)}")
    if BAD_CONFIG.search(line):
        return StageError(
            Reason.INVALID_WORKFLOW,
            f"qrun cannot do what the workflow asks for: {line}. Correct it; stderr.log holds the details.",
        )
    return StageError(
        Reason.TRAINING_FAILED, f"qrun ended with code {code}: {line}. stderr.log holds the details."
    )


def last_error(tail: str) -> str:
    """Return the line of the last exception, else the last line."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", tail) if line.strip()]
    errors = [found[1] for line in lines if (found := ERROR_LINE.search(line))]
    return (errors or lines or ["it printed nothing"])[-1].rstrip(" .:")

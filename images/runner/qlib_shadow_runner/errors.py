"""The error that a stage ends with: a reason, an exit code and a message for the user.

Knows the contract only. Every expected failure is raised as a StageError; any other exception is a defect of
this project and becomes InternalError in the harness.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.contract.escapes import in_a_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EXIT_CODES: Final[Mapping[Reason, ExitCode]] = {
    Reason.SUCCEEDED: ExitCode.DONE,
    Reason.INVALID_SPEC: ExitCode.BAD_CONFIG,
    Reason.INVALID_WORKFLOW: ExitCode.BAD_CONFIG,
    Reason.TEMPLATE_NOT_FOUND: ExitCode.BAD_CONFIG,
    Reason.BENCHMARK_NOT_FOUND: ExitCode.BAD_CONFIG,
    Reason.MARKET_NOT_FOUND: ExitCode.BAD_CONFIG,
    Reason.SEGMENTS_INVALID: ExitCode.BAD_CONFIG,
    Reason.MODEL_REFUSED: ExitCode.BAD_CONFIG,
    Reason.DATASET_MISSING: ExitCode.BAD_DATA,
    Reason.DATASET_INVALID: ExitCode.BAD_DATA,
    Reason.DATASET_STALE: ExitCode.BAD_DATA,
    Reason.DATASET_TOO_SHORT: ExitCode.BAD_DATA,
    Reason.DATASET_LOCKED: ExitCode.TRANSIENT,
    Reason.DOWNLOAD_FAILED: ExitCode.TRANSIENT,
    # Another URL, a Secret or a certificate is needed, which no retry brings.
    Reason.DOWNLOAD_REFUSED: ExitCode.BAD_CONFIG,
    Reason.CHECKSUM_MISMATCH: ExitCode.BAD_DATA,
    Reason.ARCHIVE_INVALID: ExitCode.BAD_DATA,
    # A person has to change the volume's owner, which no retry does.
    Reason.VOLUME_NOT_WRITABLE: ExitCode.BAD_CONFIG,
    Reason.RUN_FOLDER_TAKEN: ExitCode.BAD_CONFIG,
    # As after SIGTERM: its replacement is at work.
    Reason.SUPERSEDED: ExitCode.INTERRUPTED,
    Reason.OUT_OF_DISK: ExitCode.OUT_OF_DISK,
    Reason.OUT_OF_MEMORY: ExitCode.OUT_OF_MEMORY,
    Reason.INTERRUPTED: ExitCode.INTERRUPTED,
    Reason.TRAINING_FAILED: ExitCode.INTERNAL,
    Reason.OUTPUT_INCOMPLETE: ExitCode.INTERNAL,
    # Another recovery Job finds the same folder.
    Reason.RESULT_MISSING: ExitCode.BAD_DATA,
    Reason.SHADOW_PROMISE_BROKEN: ExitCode.PROMISE_BROKEN,
    # Other capital, another namespace, an unknown calendar: a person has to correct the spec.
    Reason.LEDGER_REFUSED: ExitCode.BAD_CONFIG,
    Reason.LEDGER_LOCKED: ExitCode.TRANSIENT,
    # What is there is evidence: no retry mends it, and nothing writes over it.
    Reason.LEDGER_DAMAGED: ExitCode.LEDGER_DAMAGED,
    Reason.INTERNAL_ERROR: ExitCode.INTERNAL,
}
"""The exit code of each reason."""

DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
NOT_WRITABLE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class StageError(Exception):
    """An expected failure: what happened, where, and what to do about it, in one sentence or two.

    What it quotes may come from anyone, so that the sentence is escaped here, and cut where it is overlong.
    """

    def __init__(self, reason: Reason, message: str, *more_lines: str) -> None:
        self.reason = reason
        self.message = "\n".join(map(in_a_sentence, (message, *more_lines)))
        super().__init__(self.message)

    @property
    def exit_code(self) -> ExitCode:
        """Return the exit code of the process."""
        return EXIT_CODES[self.reason]


class DamagedFileError(OSError):
    """A file that is there and cannot be what it should be; the message names it and says what it is."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(f"{path} {fault}")
        self.path = path
        self.fault = fault


class NotAnObjectError(DamagedFileError):
    """A file whose content is not a JSON object."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "is not a JSON object")


def volume_not_writable(path: str) -> StageError:
    """Return the error that names the ids to which the volume must belong."""
    ids = f"{os.getuid()}:{os.getgid()}"
    return StageError(
        Reason.VOLUME_NOT_WRITABLE,
        f"{path} cannot be written by {ids} (UID:GID). Give the volume to these ids, "
        f"for example with: chown -R {ids} on the folder; fsGroup does not reach hostPath or NFS volumes.",
    )


def volume_read_only(path: str) -> StageError:
    """Return the error of a volume that no user can write to, its owner included."""
    return StageError(
        Reason.VOLUME_NOT_WRITABLE,
        f"{path} is on a file system that is mounted read-only. Mount the volume for writing: neither the "
        "PersistentVolume may be readOnly nor its mountOptions ro; repair a damaged file system.",
    )


def from_os_error(error: OSError, path: object = "the volume") -> StageError:
    """Return the reason for an error of the filesystem, where the user can remedy it.

    `path` is for a write, whose error names no file.
    """
    if isinstance(error, DamagedFileError):
        return StageError(Reason.VOLUME_NOT_WRITABLE, f"{error}. Remove it.")
    where = str(error.filename or path)
    if error.errno == errno.EISDIR:
        place = error.filename2 or where
        return StageError(
            Reason.VOLUME_NOT_WRITABLE, f"{place} is a folder where a file is needed. Remove it."
        )
    if error.errno in DISK_FULL:
        return StageError(
            Reason.OUT_OF_DISK,
            f"no space is left while writing {where}. Free space on the volume or enlarge it.",
        )
    if error.errno in NOT_WRITABLE:
        return volume_read_only(where) if error.errno == errno.EROFS else volume_not_writable(where)
    if error.errno == errno.ENAMETOOLONG:
        return StageError(
            Reason.INVALID_SPEC,
            f"{where} has a name that is too long for the file system. Write a shorter one.",
        )
    return unexpected(error)


def unexpected(error: BaseException) -> StageError:
    """Return the error for a defect; the traceback is in the log alone."""
    return StageError(
        Reason.INTERNAL_ERROR,
        f"unexpected {type(error).__name__}: {error}. "
        "This is a defect of qlib-shadow; stderr.log holds the details.",
    )

"""A lock on a run folder: one command at a time works there, and only for the manifest that it belongs to.

A manifest with a runId is the same run when it is run again: an interrupted run continues.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.runs.folder import OWNER_FILE, read_owner
from qlib_shadow_runner.storage.held import lock_folder
from qlib_shadow_runner.storage.volume import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qlib_shadow_runner.contract import Request


@contextlib.contextmanager
def locked_run_folder(folder: Path, request: Request) -> Iterator[int]:
    """Hold the folder; the stages inherit the descriptor, and with it the lock, should this process die.

    On a filesystem that cannot lock folders it is the user who must not start two at once.
    """
    _refuse_another_spec(folder, request)
    make_folder(folder)
    descriptor = lock_folder(folder)
    if descriptor is None:
        raise StageError(
            Reason.RUN_FOLDER_TAKEN,
            f"another qlib-shadow run is at work in {folder}. Wait until it has ended, or stop it.",
        )
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_continued(folder: Path) -> bool:
    """Return whether an earlier attempt used the folder."""
    return (folder / OWNER_FILE).exists()


def _refuse_another_spec(folder: Path, request: Request) -> None:
    owner = read_owner(folder)
    if owner is not None and owner.get("uid") != request["uid"]:
        raise StageError(
            Reason.RUN_FOLDER_TAKEN,
            f'spec.runId "{request["runId"]}" is taken: {folder} belongs to another manifest, or to this one '
            "before it was changed. Choose another spec.runId, leave it out, or remove the folder to start "
            "again.",
        )

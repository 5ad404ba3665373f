"""A run folder on the volume: it belongs to one run uid, and one attempt at a time writes into it."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import METADATA_FILE, RESULTS, Reason, Result, Stage
from qlib_shadow_runner.contract.stages import stage_record
from qlib_shadow_runner.contract.strict_json import finite
from qlib_shadow_runner.errors import StageError, from_os_error
from qlib_shadow_runner.runs.lease import Lease
from qlib_shadow_runner.runs.values import whole
from qlib_shadow_runner.storage.drafts import draft_of
from qlib_shadow_runner.storage.files import read_json_object, sync_folder, write_json
from qlib_shadow_runner.storage.volume import make_own_folder

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.runs.request import Identity

OWNER_FILE: Final = ".owner.json"


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, once it is known to belong to it."""

    path: Path
    lease: Lease | None = None
    """The attempt's right to write; None for a reader."""

    @classmethod
    def claim(cls, path: Path, identity: Identity) -> RunFolder:
        """Return the folder with a lease, or raise where it belongs to another run."""
        make_own_folder(path)
        make_own_folder(path / RESULTS)
        owner = _claim_owner(path, identity)
        if owner.get("uid") != identity.uid:
            raise StageError(
                Reason.RUN_FOLDER_TAKEN,
                f'{path} belongs to the run "{owner.get("name")}" in namespace "{owner.get("namespace")}" '
                f"with uid {owner.get('uid')}, not to this run with uid {identity.uid}. "
                "Choose another spec.runId, or move the folder away.",
            )
        _ = cls(path).metadata  # raises here, where a result can be delivered, if something else is there
        return cls(path, Lease.take(path))

    @property
    def attempt_path(self) -> Path:
        """Return the path through which children write; it ends when another attempt takes over."""
        return self.lease.attempt_path if self.lease else self.path

    def superseded_error(self) -> StageError | None:
        """Return who has taken the folder over, if an attempt has and the volume can be read."""
        with contextlib.suppress(OSError):
            return self.lease.superseded_error() if self.lease else None
        return None

    @property
    def metadata(self) -> dict[str, object]:
        """Return the run's metadata as far as it is written."""
        return read_json_object(self.path / METADATA_FILE) or {}

    def update_metadata(self, **fields: object) -> None:
        """Add fields to the metadata, by rename."""
        before = {name: finite(value) for name, value in self.metadata.items()}  # it may have been edited
        write_json(self.path / METADATA_FILE, {**before, **fields})

    def stage_record(self, stage: Stage) -> dict[str, object]:
        """Return what the metadata say of a stage's last attempt."""
        return dict(stage_record(self.metadata, stage))

    def attempts(self, stage: Stage) -> int:
        """Return how many attempts at a stage have begun."""
        return whole(self.stage_record(stage).get("attempts")) or 0

    def result(self, stage: Stage) -> dict[str, object] | None:
        """Return a stage's result, if it has ended."""
        return read_json_object(self.result_path(stage), self.path)

    def write_result(self, stage: Stage, result: Result) -> None:
        """Write a stage's result."""
        write_json(self.result_path(stage), result)

    def result_path(self, stage: Stage) -> Path:
        """Return where a stage's result lies."""
        return self.path / RESULTS / f"{stage}.json"


def read_owner(path: Path) -> dict[str, object] | None:
    """Return the owner of a folder; a file without a uid, as a power cut may leave one, names none."""
    owner = read_json_object(path / OWNER_FILE)
    return owner if owner and owner.get("uid") else None


def _claim_owner(path: Path, identity: Identity) -> dict[str, object]:
    """Write the owner's file, whole and only once; return the owner, which may be a run that came first."""
    target = path / OWNER_FILE
    mine: dict[str, object] = {"uid": identity.uid, "name": identity.name, "namespace": identity.namespace}
    if read_owner(path) is None:
        try:
            with draft_of(target) as (draft, stream):
                stream.write(json.dumps(mine).encode())
                stream.flush()
                os.fsync(stream.fileno())
                _put(draft, target)
            sync_folder(path)
        except OSError as error:
            raise from_os_error(error, target) from error
    return read_owner(path) or {}


def _put(draft: Path, target: Path) -> None:
    """Rename the file, unless there is one that names its owner."""
    try:
        os.link(draft, target)
    except FileExistsError:
        if read_owner(target.parent) is None:
            draft.replace(target)

"""A run's folder on the volume: claimed by one uid and one attempt, its metadata completed late."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import METADATA_FILE, RESULTS, Reason, Result, Stage
from qlib_shadow_runner.errors import StageError, from_os_error
from qlib_shadow_runner.runs.lease import Lease
from qlib_shadow_runner.storage.files import read_json_object, sync_folder, write_json
from qlib_shadow_runner.storage.volume import make_folder

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.runs.request import Identity

OWNER_FILE: Final = ".owner.json"


@dataclass(frozen=True)
class RunFolder:
    """The folder, once it is known to be ours."""

    path: Path
    lease: Lease | None = None
    """The attempt's right to write; those who only read have none."""

    @classmethod
    def claim(cls, path: Path, identity: Identity) -> RunFolder:
        """Make the folder ours, or refuse where it is another run's."""
        make_folder(path / RESULTS)
        owner = _claim_owner(path, identity)
        if owner.get("uid") != identity.uid:
            raise StageError(
                Reason.RUN_FOLDER_TAKEN,
                f'{path} belongs to the run "{owner.get("name")}" with uid {owner.get("uid")}, not to uid '
                f"{identity.uid}. Choose another spec.runId, or move the folder away.",
            )
        return cls(path, Lease.take(path))

    @property
    def attempt_path(self) -> Path:
        """Give the folder by a path that ends when another attempt takes it over; children write there."""
        return self.lease.attempt_path if self.lease else self.path

    def superseded_error(self) -> StageError | None:
        """Say who has taken the folder over, if somebody has; a volume that cannot be read tells nothing."""
        with contextlib.suppress(OSError):
            return self.lease.superseded_error() if self.lease else None
        return None

    @property
    def metadata(self) -> dict[str, object]:
        """Read the run's metadata as far as it is written."""
        return read_json_object(self.path / METADATA_FILE) or {}

    def update_metadata(self, **fields: object) -> None:
        """Add to the metadata, by rename."""
        write_json(self.path / METADATA_FILE, {**self.metadata, **fields})

    def stage_record(self, stage: Stage) -> dict[str, object]:
        """Read what the metadata say of a stage's last attempt."""
        stages = self.metadata.get("stages")
        record = stages.get(stage) if isinstance(stages, dict) else None
        return record if isinstance(record, dict) else {}

    def attempts(self, stage: Stage) -> int:
        """Count the attempts at a stage that have begun."""
        return int(str(self.stage_record(stage).get("attempts", 0)))

    def result(self, stage: Stage) -> dict[str, object] | None:
        """Read what a stage left, if it has ended."""
        return read_json_object(self.result_path(stage))

    def write_result(self, stage: Stage, result: Result) -> None:
        """Keep a stage's result."""
        write_json(self.result_path(stage), result)

    def result_path(self, stage: Stage) -> Path:
        """Say where a stage's result lies."""
        return self.path / RESULTS / f"{stage}.json"


def read_owner(path: Path) -> dict[str, object] | None:
    """Say whose folder it is; a file that names nobody, as a power cut may leave one, is nobody's."""
    owner = read_json_object(path / OWNER_FILE)
    return owner if owner and owner.get("uid") else None


def _claim_owner(path: Path, identity: Identity) -> dict[str, object]:
    """Write the owner's file, whole and only once; whoever comes second reads the first one's."""
    target = path / OWNER_FILE
    mine: dict[str, object] = {"uid": identity.uid, "name": identity.name, "namespace": identity.namespace}
    if read_owner(path) is None:
        temporary = path / f"{OWNER_FILE}.{secrets.token_hex(4)}"
        try:
            with temporary.open("wb") as stream:
                stream.write(json.dumps(mine).encode())
                stream.flush()
                os.fsync(stream.fileno())
            _put(temporary, target)
            sync_folder(path)
        except OSError as error:
            raise from_os_error(error, target) from error
        finally:
            temporary.unlink(missing_ok=True)
    return read_owner(path) or {}


def _put(temporary: Path, target: Path) -> None:
    """Give the file its name, unless another one has it that names its owner."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        if read_owner(target.parent) is None:
            temporary.replace(target)

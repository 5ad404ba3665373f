"""What a stage is asked to do: the request in the environment, checked like all input."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from qlib_shadow_runner.contract import DEFAULT_WORK, ENV_REQUEST, ENV_WORK, Reason, Stage
from qlib_shadow_runner.contract.spec import run_id_fault
from qlib_shadow_runner.contract.stages import stages_of
from qlib_shadow_runner.contract.strict_json import parse_json
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.storage.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """What identifies a run."""

    run_id: str
    uid: str
    name: str
    namespace: str


@dataclass(frozen=True)
class StageInput:
    """One stage of one run, and the folders that it works in."""

    stage: Stage
    identity: Identity
    raw_spec: object
    volume: Volume
    work: str
    environ: Mapping[str, str]

    @classmethod
    def from_environ(cls, stage: Stage, environ: Mapping[str, str]) -> Self:
        """Return what the environment asks for; the spec is parsed once there is a folder for its errors."""
        request = _request(environ)
        return cls(
            stage=stage,
            identity=_identity(request),
            raw_spec=request.get("spec", {}),
            volume=Volume.from_environ(environ),
            work=environ.get(ENV_WORK) or DEFAULT_WORK,
            environ=environ,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the run's stages, in order."""
        return stages_of(self.raw_spec)

    @property
    def folder(self) -> Path:
        """Return the run folder."""
        return self.volume.run_folder(self.identity.run_id)


def requested_spec(environ: Mapping[str, str]) -> object:
    """Return the spec as written, in a child of the stage."""
    return _request(environ).get("spec", {})


def _request(environ: Mapping[str, str]) -> Mapping[str, object]:
    content = environ.get(ENV_REQUEST)
    if not content:
        raise StageError(Reason.INVALID_SPEC, f"{ENV_REQUEST} is not set; it must hold the run as JSON")
    try:
        request = parse_json(content)
    except ValueError as error:
        raise StageError(Reason.INVALID_SPEC, f"{ENV_REQUEST} cannot be read: {error}") from error
    if not isinstance(request, dict):
        raise StageError(Reason.INVALID_SPEC, f"{ENV_REQUEST} must be a JSON object")
    return request


def _identity(request: Mapping[str, object]) -> Identity:
    values = {key: request.get(key, "") for key in ("runId", "uid", "name", "namespace")}
    for key, value in values.items():
        if not isinstance(value, str) or (not value and key != "namespace"):
            raise StageError(Reason.INVALID_SPEC, f"{ENV_REQUEST} lacks {key}")
    fault = run_id_fault(str(values["runId"]))
    if fault:
        raise StageError(Reason.INVALID_SPEC, fault)
    return Identity(*(str(values[key]) for key in ("runId", "uid", "name", "namespace")))


def scratch_parent(work: str) -> str | None:
    """Return the work folder, or None for the system's temporary folder where it cannot be written."""
    return work if os.access(work, os.W_OK | os.X_OK) else None

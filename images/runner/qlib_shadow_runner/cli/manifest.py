"""The manifest file, the same one that kubectl takes."""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NoReturn

import yaml

from qlib_shadow_runner.contract import API_VERSION, KIND, RUN_ID_MAX, Reason, Request
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.fields import mapping
from qlib_shadow_runner.spec import RunSpec, parse_spec
from qlib_shadow_runner.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME: Final = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
NAME_MAX: Final = 253
LOCAL: Final = "local"
"""Stands for a namespace where there is none."""


@dataclass(frozen=True)
class Manifest:
    """One QlibShadowRun, and what lies beside it in its file."""

    name: str
    namespace: str
    spec: Mapping[str, object]
    path: Path
    neighbours: tuple[Mapping[str, object], ...] = ()

    def parse(self) -> RunSpec:
        """Check the spec as a stage will."""
        return parse_spec(self.spec)

    def request(self, now: datetime) -> Request:
        """Make a run of it: one that nobody made before."""
        return Request(
            name=self.name,
            namespace=self.namespace,
            uid=str(uuid.uuid4()),
            runId=self.parse().run_id or local_run_id(self.name, now),
            spec=dict(self.spec),
        )


def local_run_id(name: str, now: datetime) -> str:
    """Name a run `<name>-<UTC time>-<4 hex>`, the name shortened to fit."""
    suffix = f"{now.astimezone(UTC):%Y%m%dt%H%M%S}-{secrets.token_hex(2)}"
    return f"{name[: RUN_ID_MAX - len(suffix) - 1].rstrip('-.')}-{suffix}"


def load_manifest(path: Path) -> Manifest:
    """Read the one QlibShadowRun of a file; of other kinds, ConfigMaps may hold its template."""
    documents = _documents(path)
    ours = [document for document in documents if document.get("kind") == KIND]
    if len(ours) != 1:
        kinds = ", ".join(str(document.get("kind")) for document in documents) or "nothing"
        _refuse(path, f"holds {kinds}; exactly one {KIND} is needed{_hint(documents)}")
    [document] = ours
    if document.get("apiVersion") != API_VERSION:
        _refuse(path, f'has apiVersion "{document.get("apiVersion")}"; write {API_VERSION}')
    metadata = mapping(document.get("metadata", {}), "metadata")
    name = metadata.get("name")
    if not isinstance(name, str) or len(name) > NAME_MAX or not re.fullmatch(NAME, name):
        _refuse(path, f'has metadata.name "{name}"; it must be lower-case letters, digits, "-" and "."')
    return Manifest(
        name,
        str(metadata.get("namespace", LOCAL)),
        mapping(_plain(document.get("spec", {})), "spec"),
        path,
        tuple(other for other in documents if other is not document),
    )


def _documents(path: Path) -> list[Mapping[str, object]]:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not text"
        _refuse(path, f"cannot be read: {what}")
    try:
        documents = [document for document in yaml.safe_load_all(content) if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        _refuse(path, f"is not YAML{where}: {getattr(error, 'problem', None) or 'unreadable'}")
    for document in documents:
        if not isinstance(document, dict):
            _refuse(
                path,
                "is not a Kubernetes manifest: a mapping with apiVersion, kind, metadata and spec is needed",
            )
    return documents


def _plain(value: object) -> object:
    """Undo YAML's dates: in JSON, and so in a cluster, they are words."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if isoformat else value


def _hint(documents: list[Mapping[str, object]]) -> str:
    for document in documents:
        if document.get("kind") != KIND and nearest(str(document.get("kind")), [KIND], cutoff=0.7):
            return f'; did you mean "{KIND}"?'
    return ""


def _refuse(path: Path, message: str) -> NoReturn:
    raise StageError(Reason.INVALID_SPEC, f"{path} {message}")

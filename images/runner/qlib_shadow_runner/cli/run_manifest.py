"""Read a run's manifest, the same file that kubectl applies."""

from __future__ import annotations

import json
import re
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import yaml

from qlib_shadow_runner.contract import API_VERSION, KIND, LOCAL_NAMESPACE, RUN_ID_MAX, Reason, Request
from qlib_shadow_runner.contract.kinds import quoted
from qlib_shadow_runner.contract.spec import QUESTION
from qlib_shadow_runner.contract.strict_json import WHOLE
from qlib_shadow_runner.contract.yaml_limits import LARGEST, Unreadable, YamlLimits
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.refusals import mapping
from qlib_shadow_runner.spec import RunSpec, parse_spec
from qlib_shadow_runner.texts import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from pathlib import Path

TOP_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
LIMITS: Final = YamlLimits(nodes=10_000, depth=50)
"""A file with all manifests of this project beside the run has a third of these."""
NAME: Final = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
NAME_MAX: Final = 253


class _StrictLoader(yaml.SafeLoader):
    """Rejects what the API server rejects: a key that is there twice, and numbers of more than 64 bits.

    PyYAML would silently drop the first key, and it raises a ValueError without the line on a number of five
    thousand digits and on a date such as 2020-02-30.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:  # noqa: FBT001, FBT002 - PyYAML's signature
        try:
            found: object = super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:
            raise _problem(node, "is no number and no date") from error
        if isinstance(found, int) and found not in WHOLE:
            raise _problem(node, "is a number of more than 64 bits")
        return found

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise _problem(key, "is there twice", "the key ")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _problem(node: yaml.Node, what: str, kind: str = "") -> yaml.YAMLError:
    """Return the error about a value as it is written."""
    problem = f"{kind}{quoted(node.value)} {what}"
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


@dataclass(frozen=True)
class RunManifest:
    """One QlibShadowRun, and the other documents of its file."""

    name: str
    namespace: str
    spec: Mapping[str, object]
    path: Path
    other_documents: tuple[Mapping[str, object], ...] = ()

    def parse(self) -> RunSpec:
        """Return the spec, checked as a stage checks it."""
        return parse_spec(self.spec)

    def request(self, now: datetime, template: str | None = None, continued: str | None = None) -> Request:
        """Return the request for a run of this manifest: a new run, unless a runId is named or continued."""
        named = self.parse().run_id
        run_id = named or continued or local_run_id(self.name, now)
        return Request(
            name=self.name,
            namespace=self.namespace,
            uid=self.uid(run_id if named is None else None, template),
            runId=run_id,
            spec=dict(self.spec),
        )

    def uid(self, run_id: str | None, template: str | None) -> str:
        """Return one uid for one spec, so that an interrupted run continues; a changed spec gets another.

        A run whose id the spec does not name is one of many of this manifest, so its id is part of it.
        """
        asked = {key: value for key, value in self.spec.items() if key in QUESTION}
        question = [API_VERSION, self.namespace, self.name, asked, template, *([run_id] if run_id else [])]
        return str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(question, sort_keys=True)))


def local_run_id(name: str, now: datetime) -> str:
    """Return a run id `<name>-<UTC time>-<4 hex digits>`, with the name shortened to fit."""
    suffix = f"{now.astimezone(UTC):%Y%m%dt%H%M%S}-{secrets.token_hex(2)}"
    return f"{name[: RUN_ID_MAX - len(suffix) - 1].rstrip('-.')}-{suffix}"


def load_manifest(path: Path) -> RunManifest:
    """Return the QlibShadowRun of a file; the file may hold a ConfigMap with its template too."""
    return manifest_of(path, read_documents(path))


def manifest_of(path: Path, documents: list[Mapping[str, object]]) -> RunManifest:
    """Return the run from the documents of a file."""
    document = the_run(path, documents)
    faults = manifest_faults(path, document)
    if faults:
        raise faults[0]
    metadata = mapping(document["metadata"], "metadata")
    return RunManifest(
        str(metadata["name"]),
        str(metadata.get("namespace", LOCAL_NAMESPACE)),
        mapping(document.get("spec", {}), "spec"),
        path,
        tuple(other for other in documents if other is not document),
    )


def the_run(path: Path, documents: list[Mapping[str, object]]) -> Mapping[str, object]:
    """Return the document of the one QlibShadowRun in a file."""
    ours = [document for document in documents if document.get("kind") == KIND]
    if len(ours) != 1:
        kinds = ", ".join(str(document.get("kind")) for document in documents) or "nothing"
        raise _fault(path, f"holds {kinds}; exactly one {KIND} is needed{_hint(documents)}")
    return ours[0]


def manifest_faults(path: Path, document: Mapping[str, object]) -> list[StageError]:
    """Return the faults outside of the spec."""
    sentences = [
        f"has no field {quoted(key)} at its top; {did_you_mean(key, TOP_FIELDS)}"
        for key in map(str, document)
        if key not in TOP_FIELDS
    ]
    if document.get("apiVersion") != API_VERSION:
        sentences.append(f"has apiVersion {quoted(document.get('apiVersion'))}; write {API_VERSION}")
    metadata = document.get("metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    sentences += [
        f'has metadata.{key} {quoted(name)}; it must be lower-case letters, digits, "-" and "."'
        for key, name in (
            ("name", fields.get("name")),
            ("namespace", fields.get("namespace", LOCAL_NAMESPACE)),
        )
        if not isinstance(name, str) or len(name) > NAME_MAX or not re.fullmatch(NAME, name)
    ]
    if not isinstance(document.get("spec", {}), dict):
        sentences.append("has a spec that is no mapping of fields")
    return [_fault(path, sentence) for sentence in sentences]


def read_documents(path: Path) -> list[Mapping[str, object]]:
    """Return every document of a file; the file may be a pipe, which can be read only once."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(LARGEST + 1)
        content = raw.decode() if len(raw) <= LARGEST else ""
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not text"
        raise _fault(path, f"cannot be read: {what}") from error
    if len(raw) > LARGEST:
        raise _fault(path, f"holds more than {LARGEST:,} bytes; shorten it")
    if _is_for_qrun(content):
        raise _fault(
            path,
            f"is a workflow for qrun, not a QlibShadowRun; make one of it with: qlib-shadow adopt {path}",
        )
    try:
        LIMITS.check(yaml.parse(content, _StrictLoader))
        loaded = (_plain(document) for document in yaml.load_all(content, _StrictLoader))
        documents: list[Any] = [document for document in loaded if document is not None]
    except Unreadable as error:
        raise _fault(path, str(error)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise _fault(
            path, f"is not YAML{where}: {getattr(error, 'problem', None) or 'unreadable'}"
        ) from error
    except RecursionError as error:
        raise _fault(path, "is nested too deeply, or a part of it holds itself") from error
    if not all(isinstance(document, dict) for document in documents):
        raise _fault(
            path, "is not a Kubernetes manifest: a mapping with apiVersion, kind, metadata and spec is needed"
        )
    return documents


def _is_for_qrun(content: str) -> bool:
    """Return whether a text has qrun's sections and no kind; with variables it need not be YAML."""
    sections = set(re.findall(r"^(qlib_init|task|kind)[ \t]*:", content, re.MULTILINE))
    return bool(sections) and "kind" not in sections


def _plain(value: object) -> object:
    """Return the value with YAML's dates as strings, because JSON, and so a cluster, has no dates."""
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


def _fault(path: Path, message: str) -> StageError:
    return StageError(Reason.INVALID_SPEC, f"{path} {message}")

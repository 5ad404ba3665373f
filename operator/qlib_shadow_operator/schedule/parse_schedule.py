"""Parse a schedule from YAML. Only its shape is checked; the API server validates the run's spec."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

import yaml

from qlib_shadow_operator.runs.names import GROUP
from qlib_shadow_runner.contract import API_VERSION, KIND
from qlib_shadow_runner.contract.escapes import in_a_sentence
from qlib_shadow_runner.contract.strict_json import parse_json
from qlib_shadow_runner.contract.yaml_limits import Unreadable, YamlLimits

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

E = TypeVar("E", bound=StrEnum)

LIMITS: Final = YamlLimits(nodes=10_000, depth=50)
NAME: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
NAME_MAX: Final = 49
"""With the time appended, a run's name has at most 63 characters."""
KEEP_DEFAULT: Final = 30
KEEP_MAX: Final = 10_000
KEYS: Final = ("name", "concurrencyPolicy", "keepFinished", "run")
RUN_KEYS: Final = ("apiVersion", "kind", "metadata", "spec")
METADATA_KEYS: Final = ("labels", "annotations")


class ScheduleError(ValueError):
    """The schedule cannot be used; the message is for the person who wrote it."""

    def __init__(self, message: str) -> None:
        super().__init__(in_a_sentence(message))


class Concurrency(StrEnum):
    """What happens to a new run while an earlier one of its schedule is not finished."""

    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"


@dataclass(frozen=True)
class Schedule:
    """What to run, how many at a time, and how many finished runs to keep."""

    name: str
    spec: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    concurrency: Concurrency = Concurrency.FORBID
    keep_finished: int = KEEP_DEFAULT


class _Loader(yaml.SafeLoader):
    """YAML as the API server reads it: dates are strings, and a duplicate key is an error."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [one for one in found if one[0] != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        seen: set[object] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f'"{key.value}" appears twice', problem_mark=key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def parse_schedule(text: str) -> Schedule:
    """Return the schedule, or raise a ScheduleError."""
    document = _mapping(_load(text), "the schedule", KEYS)
    run = _mapping(document.get("run"), "run", RUN_KEYS)
    _check_kind(run)
    metadata = _metadata(run.get("metadata"))
    name = _name(document.get("name"))
    return Schedule(
        name=name,
        spec=_spec(run.get("spec"), name),
        labels=_texts(metadata.get("labels"), "run.metadata.labels"),
        annotations=_texts(metadata.get("annotations"), "run.metadata.annotations"),
        concurrency=_one_of(Concurrency, document.get("concurrencyPolicy", Concurrency.FORBID)),
        keep_finished=_count(document.get("keepFinished", KEEP_DEFAULT)),
    )


def _load(text: str) -> object:
    try:
        LIMITS.check(yaml.parse(text, _Loader))
        found = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
        # Values that JSON cannot express (dates, sets, bytes, NaN) cannot be sent to the API server.
        return parse_json(json.dumps(found, allow_nan=False))
    except Unreadable as error:
        raise ScheduleError(f"the schedule {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or "unreadable"
        raise ScheduleError(f"the schedule is not YAML{where}: {what}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise ScheduleError(f"the schedule cannot be written as JSON: {error}") from error


def _mapping(raw: object, where: str, known: Iterable[str] | None = None) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ScheduleError(f"{where} must be a mapping, not {_kind(raw)}")
    for key in raw:
        if known is not None and key not in known:
            raise ScheduleError(f'{where} has no field "{key}"; {_hint(key, known)}')
    return raw


def _kind(raw: object) -> str:
    if raw is None:
        return "empty"
    return {str: "text", list: "a list", bool: "true or false"}.get(type(raw), "a number")


def _hint(key: str, known: Iterable[str]) -> str:
    close = get_close_matches(key.lower(), {name.lower(): name for name in known}, n=1)
    by_lower = {name.lower(): name for name in known}
    return f'did you mean "{by_lower[close[0]]}"?' if close else f"the fields are {', '.join(known)}"


def _check_kind(run: Mapping[str, Any]) -> None:
    for key, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        if run.get(key, expected) != expected:
            raise ScheduleError(f'run.{key} is "{run[key]}"; write {expected}, or leave it out')


def _metadata(raw: object) -> dict[str, Any]:
    if raw is None:
        return {}
    if isinstance(raw, dict) and raw.keys() & {"name", "generateName", "namespace"}:
        raise ScheduleError(
            "run.metadata must not name the run: each is named after its time, in the CronJob's namespace"
        )
    return _mapping(raw, "run.metadata", METADATA_KEYS)


def _spec(raw: object, name: str) -> dict[str, Any]:
    """Return the spec of the runs: of the schedule's series, unless it names another one."""
    spec = _mapping(raw, "run.spec")
    if "runId" in spec:
        raise ScheduleError("run.spec.runId would be the same for every run of the schedule; leave it out")
    return spec if spec.get("series") is not None else {**spec, "series": name}


def _texts(raw: object, where: str) -> dict[str, str]:
    found = {} if raw is None else _mapping(raw, where)
    for key, value in found.items():
        if key.startswith(f"{GROUP}/"):
            raise ScheduleError(f'{where} has "{key}"; names below {GROUP}/ are set by the schedule itself')
        if not isinstance(value, str):
            raise ScheduleError(f'{where} has "{key}: {value}"; a value must be text, so put it in quotes')
    return found


def _name(raw: object) -> str:
    if not isinstance(raw, str) or len(raw) > NAME_MAX or not re.fullmatch(NAME, raw):
        raise ScheduleError(
            f'the name of the schedule is "{raw}"; it must be the CronJob\'s name, of at most {NAME_MAX} '
            'lower-case letters, digits and "-"'
        )
    return raw


def _one_of(kind: type[E], raw: object) -> E:
    found = next((one for one in kind if one == raw), None)
    if found is None:
        raise ScheduleError(f'concurrencyPolicy is "{raw}"; it must be {", ".join(kind)}')
    return found


def _count(raw: object) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw <= KEEP_MAX:
        raise ScheduleError(f'keepFinished is "{raw}"; it must be a whole number from 0 to {KEEP_MAX}')
    return raw

"""Writes the schema of `spec` into the CRD from the table of fields; the text above it is written by hand.

Run it with `python -m tests.contract.crd_file`.
"""

from __future__ import annotations

import re
import textwrap
from functools import singledispatch
from pathlib import Path
from typing import Any, Final

import yaml

from qlib_shadow_runner.contract import kinds, periods
from qlib_shadow_runner.contract.fields import Field, Given, Object, Record, fields_of
from qlib_shadow_runner.contract.spec import RunFields

FILE: Final = Path(__file__).parents[2] / "manifests/crd/qlibshadowruns.yaml"
MARK: Final = "# Below: made by `make docs` from images/runner/qlib_shadow_runner/contract/spec/.\n"
ABOUT: Final = "What is to be researched, and how its Jobs are run. Everything has a default."
NAME_RULE: Final = {
    "rule": "size(self.metadata.name) <= 63",
    "message": "the name must have at most 63 characters: it becomes a label of the run's Jobs; shorten it",
}
INT32: Final = 2**31
LINE: Final = 130
SELF: Final = re.compile(r"\bself\b")


def file() -> str:
    """Return the whole CRD."""
    head = FILE.read_text().partition(MARK)[0].rstrip(" ")
    spec = {"spec": {**schema_of(RunFields, "spec"), "description": ABOUT}}
    rules = {"x-kubernetes-validations": [NAME_RULE, frozen_rule()]}
    made = textwrap.indent(MARK + _yaml(spec), " " * 12) + textwrap.indent(_yaml(rules), " " * 10)
    return head + made


def frozen_rule() -> dict[str, str]:
    """Refuse changes once the run has started, field by field."""
    same = [
        f"has(self.spec.{key}) == has(oldSelf.spec.{key}) && "
        f"(!has(self.spec.{key}) || self.spec.{key} == oldSelf.spec.{key})"
        for key in (one.key for one in fields_of(RunFields) if one.frozen)
    ]
    *some, last = (one.key for one in fields_of(RunFields) if not one.frozen)
    free = f"{', '.join(some)} and {last}"
    return {
        "rule": f"!has(oldSelf.status) || !has(oldSelf.status.startTime) || ({' && '.join(same)})",
        "fieldPath": ".spec",
        "message": f"the run has started, so of its spec only {free} can still be changed; to ask another "
        "question, apply it under another name",
    }


def schema_of(cls: type[Record], where: str) -> dict[str, Any]:
    """Return the schema of an object."""
    table = fields_of(cls)
    rules = [{"rule": rule.cel, "message": f"{where} {rule.must}"} for rule in cls.RULES if rule.cel]
    needed = [one.key for one in table if one.required]
    return {
        "type": "object",
        **({"required": needed} if needed else {}),
        **({"x-kubernetes-validations": rules} if rules else {}),
        **({"properties": {one.key: field_schema(one, where) for one in table}} if table else {}),
    }


def field_schema(field: Field, where: str) -> dict[str, Any]:
    """Return the schema of a field with its description."""
    found = schema(field.kind, f"{where}.{field.key}")
    return {"type": found.pop("type"), "description": field.description, **found}


@singledispatch
def schema(kind: kinds.Kind[Any], where: str) -> dict[str, Any]:
    """Return the schema of a kind."""
    raise NotImplementedError(f"{where}: {kind}")


@schema.register(Object)
@schema.register(Given)
def _(kind: Object[Any] | Given, where: str) -> dict[str, Any]:
    return schema_of(kind.cls, where)


@schema.register
def _(kind: kinds.Text, where: str) -> dict[str, Any]:
    rules = [{"rule": one.cel, "message": f"{where} {one.must}"} for one in kind.checks if one.cel]
    return {
        "type": "string",
        **({"minLength": kind.least} if kind.least else {}),
        "maxLength": kind.most,
        **({"x-kubernetes-validations": rules} if rules else {}),
    }


@schema.register
def _(kind: kinds.Whole, where: str) -> dict[str, Any]:  # noqa: ARG001 - one signature for all
    bits = "int32" if kind.low >= -INT32 and kind.high < INT32 else "int64"
    return {"type": "integer", "format": bits, "minimum": kind.low, "maximum": kind.high}


@schema.register
def _(kind: kinds.Number, where: str) -> dict[str, Any]:
    low, high = (int(end) if float(end).is_integer() else end for end in (kind.low, kind.high))
    found = {"type": "number", "minimum": low, "maximum": high}
    if isinstance(low, int):
        return found
    # The API server holds a whole number against the whole part of a limit, so 0 would pass 0.001.
    rule = {"rule": f"self >= {low!r}", "message": f"{where} must be {kind.words}"}
    return {**found, "x-kubernetes-validations": [rule]}


@schema.register
def _(kind: kinds.Flag, where: str) -> dict[str, Any]:  # noqa: ARG001
    return {"type": "boolean"}


@schema.register
def _(kind: kinds.Choice, where: str) -> dict[str, Any]:  # type: ignore[type-arg] # noqa: ARG001
    return {"type": "string", "enum": list(kind.among)}


@schema.register
def _(kind: kinds.Quantity, where: str) -> dict[str, Any]:  # noqa: ARG001
    return {
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "maxLength": 32,
        "pattern": f"^{kind.pattern}$",
    }


@schema.register
def _(kind: kinds.Day, where: str) -> dict[str, Any]:
    cel = f"self >= '{kind.first}' && self <= '{kind.last}'"
    rules = [] if kind == kinds.Day() else [{"rule": cel, "message": f"{where} {kind.must}"}]
    return {
        "type": "string",
        "maxLength": 10,
        "pattern": f"^{kinds.DAY}$",
        **({"x-kubernetes-validations": rules} if rules else {}),
    }


@schema.register
def _(kind: kinds.Span, where: str) -> dict[str, Any]:
    cel = "size(self) != 2 || dyn(self[0]) == null || dyn(self[1]) == null || self[0] <= self[1]"
    return {
        "type": "array",
        "minItems": 2,
        "maxItems": 2,
        "x-kubernetes-validations": [{"rule": cel, "message": f"{where} {kinds.SPAN}"}],
        "items": {**schema(kind.end, where), "nullable": True},
    }


@schema.register
def _(kind: periods.PeriodKind, where: str) -> dict[str, Any]:  # noqa: ARG001
    return {"type": "string", "maxLength": 5, "pattern": f"^{periods.PATTERN}$"}


@schema.register
def _(kind: kinds.ListOf, where: str) -> dict[str, Any]:  # type: ignore[type-arg]
    return {"type": "array", "maxItems": kind.most, "items": schema(kind.of, f"{where}[]")}


@schema.register
def _(kind: kinds.Map, where: str) -> dict[str, Any]:  # type: ignore[type-arg]
    of = schema(kind.of, f"{where}.*")
    rules = [
        {
            "rule": f"self.all(name, {SELF.sub('name', one.cel)})",
            "message": f"each name in {where} {one.must}",
        }
        for one in (kind.names.checks if kind.names else ())
        if one.cel
    ]
    return {
        "type": "object",
        "maxProperties": kind.most,
        **({"x-kubernetes-validations": rules} if rules else {}),
        "additionalProperties": of,
    }


class _Dumper(yaml.SafeDumper):
    """Writes a field without parts in one line, if it fits."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:  # noqa: FBT001 - the library's
        scalar = not any(isinstance(one, dict | list) for one in mapping.values())
        flow_style = scalar and "rule" not in mapping and len(str(mapping)) < LINE
        return super().represent_mapping(tag, mapping, flow_style)

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        flow = not any(isinstance(one, dict) for one in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_Dumper.add_representer(list, _Dumper.represent_list)


def _yaml(document: object) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


if __name__ == "__main__":
    FILE.write_text(file())

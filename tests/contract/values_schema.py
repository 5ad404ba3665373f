"""Writes into values.schema.json of the chart what the table of fields says about `runs`, and `cron`.

Run it with `python -m tests.contract.values_schema`.
"""

from __future__ import annotations

import json
from typing import Any, Final

from tests.contract import crd_file
from tests.contract.values_page import CHART

from qlib_shadow_operator.runs.pods import PodDefaults
from qlib_shadow_runner.contract import kinds
from qlib_shadow_runner.contract.fields import Given, Object, Record, fields_of
from qlib_shadow_runner.contract.spec.pods import Expression, Toleration

FILE: Final = CHART / "values.schema.json"
ONLY_OF_A_CRD: Final = ("description", "format", "x-kubernetes-validations")
Schema = dict[str, Any]


def given(**fields: Schema) -> Schema:
    """Return the schema of an object that has these fields, with such values."""
    return {"required": list(fields), "properties": fields}


EXISTS: Final = given(operator={"const": "Exists"})
SOME: Final[Schema] = {"minItems": 1}
RULES: Final[dict[type[Record], list[Schema]]] = {
    Toleration: [
        {"not": given(operator={"const": "Exists"}, value={"minLength": 1})},
        {"anyOf": [given(key={"minLength": 1}), EXISTS]},
        {"if": {"required": ["tolerationSeconds"]}, "then": given(effect={"const": "NoExecute"})},
    ],
    Expression: [
        {
            "if": given(operator={"enum": ["In", "NotIn"]}),
            "then": given(values=SOME),
            "else": {"not": given(values=SOME)},
        },
    ],
}
"""The rules of an object, which the table has in CEL and in Python, as JSON schema has them."""
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def file() -> str:
    """Return the whole schema."""
    schema = json.loads(FILE.read_text())
    runs = schema["properties"]["runs"]["properties"]
    runs |= {one.key: of(one.kind, optional=one.default is None) for one in fields_of(PodDefaults)}
    schema["definitions"]["cron"]["pattern"] = cron()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def cron() -> str:
    """Return how a schedule is written: a short name, or five fields with numbers in their ranges.

    Of minute, hour, day, month and day of the week, the last two also have names.
    """
    fields = (
        time("[0-5]?[0-9]"),
        time("[01]?[0-9]|2[0-3]"),
        time("0?[1-9]|[12][0-9]|3[01]"),
        time(f"0?[1-9]|1[0-2]|{words(MONTHS)}"),
        time(f"0?[0-6]|{words(DAYS)}"),
    )
    return f"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|{' +'.join(fields)})$"


def time(number: str) -> str:
    """Return one field of a schedule: numbers, ranges and steps, with commas between them."""
    one = rf"([*?]|({number})(-({number}))?)(/0*[1-9][0-9]{{0,3}})?"
    return f"{one}(,{one})*"


def words(names: tuple[str, ...]) -> str:
    """Return a pattern of names, in any case."""
    return "|".join("".join(f"[{letter.upper()}{letter}]" for letter in name) for name in names)


def of(kind: kinds.Kind[Any], *, optional: bool = False) -> Schema:
    """Return the schema of a kind as Helm reads it; an optional text, or object, may be empty."""
    if isinstance(kind, Object | Given):
        return of_record(kind.cls)
    if isinstance(kind, kinds.ListOf):
        return {"type": "array", "maxItems": kind.most, "items": of(kind.of)}
    if isinstance(kind, kinds.Map):
        names = {"propertyNames": of(kind.names)} if kind.names else {}
        return {"type": "object", "maxProperties": kind.most, **names, "additionalProperties": of(kind.of)}
    found = {name: value for name, value in crd_file.schema(kind, "").items() if name not in ONLY_OF_A_CRD}
    if isinstance(kind, kinds.Text):
        forms: list[Schema] = [{"pattern": one.like} for one in kind.checks if one.like]
        forms += [{"not": {"pattern": one.unlike}} for one in kind.checks if one.unlike]
        found |= forms[0] if len(forms) == 1 and "pattern" in forms[0] else {"allOf": forms} if forms else {}
        return {"anyOf": [{"const": ""}, found]} if optional else found
    return found


def of_record(cls: type[Record]) -> Schema:
    """Return the schema of an object, which has no other fields."""
    table = fields_of(cls)
    needed = [one.key for one in table if one.required]
    return {
        "type": "object",
        **({"required": needed} if needed else {}),
        "properties": {one.key: of(one.kind) for one in table},
        "additionalProperties": False,
        **({"allOf": RULES[cls]} if cls in RULES else {}),
    }


if __name__ == "__main__":
    FILE.write_text(file())

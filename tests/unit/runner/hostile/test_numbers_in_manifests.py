"""Any number, date or letter in a manifest, a template or a request ends in a sentence, or is taken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.unit.runner.hostile.hostile_values import (
    DATES,
    LETTERS,
    LONGEST,
    NUMBERS,
    is_seen,
    some,
)

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract.fields import Given, Object, fields_of
from qlib_shadow_runner.contract.kinds import ListOf, Map
from qlib_shadow_runner.contract.spec import RunFields

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qlib_shadow_runner.contract.fields import Record

HEAD: Final = "apiVersion: qlibshadow.io/v1alpha1\nkind: QlibShadowRun\nmetadata: {name: demo}\n"
PLACE: Final = "PLACE"
MANIFESTS: Final = (
    f"{PLACE}: 1\n{HEAD}",
    HEAD.replace("qlibshadow.io/v1alpha1", PLACE),
    HEAD.replace("QlibShadowRun", PLACE),
    HEAD.replace("demo", PLACE),
    HEAD.replace("name: demo", f"{PLACE}: demo"),
    f"{HEAD}spec: {PLACE}\n",
    f"{HEAD}spec: {{{PLACE}: 1}}\n",
    f"{HEAD}spec: {{? [{PLACE}] : 1}}\n",
    f"{HEAD}---\n{PLACE}\n",
)
"""Manifests with a hostile value outside of the fields of the spec."""


def paths(cls: type[Record], inside: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every field of the spec, and of a value in each list and each map."""
    for one in fields_of(cls):
        path, kind = (*inside, one.key), one.kind
        yield path
        while isinstance(kind, ListOf | Map):
            path, kind = (*path, "0" if isinstance(kind, ListOf) else "memory"), kind.of
            yield path
        if isinstance(kind, Object | Given):
            yield from paths(kind.cls, path)
    if inside == ("workflow", "segments"):
        yield from ((*inside, name, end) for name in ("train", "valid", "test") for end in "01")


SPAN: Final = {"train": ["2019-01-02", "2021-12-31"], "valid": ["2022-01-10", "2022-06-30"]}


def spec_with(path: tuple[str, ...]) -> dict[str, Any]:
    """Return a spec that is valid but for the value at the path."""
    if path[:2] == ("workflow", "segments") and len(path) == 4:
        spans = {**SPAN, "test": ["2022-07-10", "2023-06-30"]}
        spans[path[2]] = [
            PLACE if end == path[3] else day for end, day in zip("01", spans[path[2]], strict=True)
        ]
        return {"workflow": {"segments": spans}}
    value: Any = PLACE
    for key in reversed(path):
        value = [value] if key == "0" else {key: value}
    return dict(value)


FIELDS: Final = list(paths(RunFields))


def check(code: int, output: str, case: str) -> list[str]:
    """Return what is wrong with how a command ended."""
    faults = [
        *(["its exit code"] if code not in {0, 2, 10, 11} else []),
        *(["InternalError"] if "InternalError" in output or "Traceback" in output else []),
        *(["a long line"] if max(map(len, output.splitlines() or [""])) > LONGEST else []),
        *(["a hidden character"] if not is_seen(output) else []),
    ]
    return [f"{case}: {', '.join(faults)}: {code} {output[:300]!r}"] if faults else []


def test_any_value_in_a_manifest_is_taken_or_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Whatever field it is in: InvalidSpec or InvalidWorkflow, which are not retried."""
    file = tmp_path / "run.yaml"
    templates = [*MANIFESTS, *(f"{HEAD}spec: {json.dumps(spec_with(path))}\n" for path in FIELDS)]
    values = [*NUMBERS, *DATES, *(json.dumps(letters) for letters in LETTERS)]
    cases = [(template, value) for template in templates for value in values]
    faults = []
    for template, value in some(cases, 300):
        file.write_text(template.replace(f'"{PLACE}"', value).replace(PLACE, value))
        code = main(["validate", str(file)])
        output = capsys.readouterr()
        faults += check(code, output.out + output.err, f"{template!r} with {value[:40]!r}")
    assert faults == []

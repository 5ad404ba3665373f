"""Any number, date or letter in a manifest, a template or a request ends in a sentence, or is taken."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.unit.runner.hostile.hostile_values import (
    DATES,
    DIGITS,
    JSON_NUMBERS,
    LETTERS,
    LONGEST,
    NUMBERS,
    is_seen,
    some,
)
from tests.unit.runner.workflow.workflow_builders import BUILT_IN

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import ENV_DATA, ENV_REQUEST, Reason, Stage
from qlib_shadow_runner.contract.fields import Given, Object, fields_of
from qlib_shadow_runner.contract.kinds import ListOf, Map
from qlib_shadow_runner.contract.spec import RunFields
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.runs.request import StageInput
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow.prepare import render_without_data
from qlib_shadow_runner.workflow.templates import Template

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
    faults = []
    for template, value in some(list(product(templates, values)), 120):
        file.write_text(template.replace(f'"{PLACE}"', value).replace(PLACE, value))
        code = main(["validate", str(file)])
        output = capsys.readouterr()
        faults += check(code, output.out + output.err, f"{template!r} with {value[:40]!r}")
    assert not faults, "\n".join(map(str, faults))


WRITTEN: Final = re.compile(r"(?<=: )[^\s{}\[\],#:]+$|\{\{[^}]*\}\}", re.MULTILINE)
"""A value in the built-in template, or what is filled in."""


JINJA: Final = ("{{ %s }}", "{{ 2 * %s }}", "{%% if %s > 1 %%}1{%% endif %%}", "{{ range(%s) | length }}")


def test_any_value_in_a_template_is_taken_or_told_in_one_sentence():
    """As InvalidWorkflow, which is not retried; in YAML as in Jinja."""
    spec = parse_spec({"workflow": {"configMapRef": {"name": "mine"}}})
    places = [match.span() for match in WRITTEN.finditer(BUILT_IN)]
    jinja = (
        "{{ %s }}",
        "{{ [1] | first * %s }}",
        "{%% if %s > 1 %%}1{%% endif %%}",
        "{{ range(%s) | length }}",
    )
    values = [
        *NUMBERS,
        *DATES,
        *LETTERS,
        *(form % DIGITS for form in jinja),
        *(form % "1e999" for form in jinja),
    ]
    faults = []
    for (begin, end), value in some(list(product(places, values)), 40):
        text = BUILT_IN[:begin] + value + BUILT_IN[end:]
        try:
            render_without_data(spec, Template('ConfigMap "mine"', text))
        except StageError as error:
            good = error.reason in {Reason.INVALID_WORKFLOW, Reason.SEGMENTS_INVALID}
            if not good or len(error.message) > LONGEST * 3 or not is_seen(error.message):
                faults.append((BUILT_IN[begin - 20 : end], value[:40], error.reason, error.message[:300]))
    assert not faults, "\n".join(map(str, faults))


def test_any_value_in_the_request_of_a_stage_is_taken_or_told_in_one_sentence():
    """QLIB_SHADOW_REQUEST may be written by hand: numbers, brackets, keys that are there twice."""
    request = {"name": "demo", "namespace": "here", "uid": "u", "runId": "demo-1", "spec": {}}
    texts = [json.dumps({**request, "spec": spec_with(path)}) for path in FIELDS]
    texts += [json.dumps({**request, key: PLACE}) for key in request]
    texts += [PLACE, f'{{"{PLACE}": 1, "a": 1, "a": 2}}', "[" * 100_000, '{"a":' * 100_000, f"[{PLACE}"]
    faults = []
    for text, value in some(list(product(texts, JSON_NUMBERS)), 200):
        environ = {ENV_REQUEST: text.replace(f'"{PLACE}"', value), ENV_DATA: "/nowhere"}
        try:
            parse_spec(StageInput.from_environ(Stage.DOWNLOAD, environ).raw_spec)
        except StageError as error:
            good = error.reason in {Reason.INVALID_SPEC, Reason.SEGMENTS_INVALID}
            if not good or len(error.message) > LONGEST or not is_seen(error.message):
                faults.append((text[:80], value[:40], error.reason, error.message[:300]))
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.parametrize(
    ("request_text", "sentence"),
    [
        (f'{{"spec": {DIGITS}}}', "the whole number 99999999999999999999… has more than 64 bits"),
        ('{"spec": 1e999}', "the number 1e999 is too large"),
        ('{"spec": NaN}', "NaN is not a number that JSON has"),
        ('{"spec": {}, "spec": {}}', 'the key "spec" is there twice'),
        ("[" * 100_000, "it is nested too deeply"),
        ("{", "it is not JSON: Expecting property name"),
    ],
    ids=lambda text: text[:20],
)
def test_request_that_is_no_plain_json_is_refused(request_text: str, sentence: str):
    """What is wrong, in a few words."""
    with pytest.raises(StageError) as caught:
        StageInput.from_environ(Stage.DOWNLOAD, {ENV_REQUEST: request_text})
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.message.startswith(f"{ENV_REQUEST} cannot be read: {sentence}")

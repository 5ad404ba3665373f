"""Whatever a file holds, it is read as qrun reads it, or refused in one sentence with its place."""

from __future__ import annotations

import contextlib
import os
import random
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.adopt.qrun_files import ENSEMBLE, MODEL, PLAIN, WITH_OWN_FEATURES, changed

from qlib_shadow_runner.adopt.question import adopt
from qlib_shadow_runner.adopt.read import read_original
from qlib_shadow_runner.adopt.report import RefusedError
from qlib_shadow_runner.workflow.templates import LARGEST

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = int(os.environ.get("QLIB_SHADOW_CHAOS_FILES", "40"))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2_000))
MERGES = "a0: &a0 {k: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: *a{n - 1}}}\n" for n in range(1, 40)
)
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 9))
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "is not a workflow for qrun, which is a mapping with qlib_init and task"),
    "a list": ("- 1", "is not a workflow for qrun, which is a mapping"),
    "no task": ("qlib_init: {}", "it has no section task with model, dataset and record"),
    "a task that is none": ("task: [1]", "it has no section task"),
    "a manifest": ("apiVersion: v1\nkind: ConfigMap", "is a Kubernetes manifest and not a workflow for qrun"),
    "a base": (f"BASE_CONFIG_PATH: other.yaml\n{PLAIN}", "builds on another file by BASE_CONFIG_PATH"),
    "half": ("task: [", "is not YAML at line 1"),
    "no text": (b"\xff\xfe\x00", "cannot be read: it is not text"),
    "too much": ("#" + "x" * LARGEST, f"is larger than {LARGEST:,} bytes"),
    "a bomb": (BOMB, "stands for more than"),
    "a chain of aliases": (CHAIN, "is nested deeper than 24 levels at line 24"),
    "a bomb of merges": (MERGES, "stands for more than"),
    "itself": ("task: &a {model: *a}", "has the YAML alias a at line 1 inside of what it stands for"),
    "a tag": ("task: !!python/object/apply:os.system [id]", "has the YAML tag"),
    "a variable that is not set": (
        "a: 1\nb: {{ NOT_THERE }}",
        "line 2: the environment has no variable NOT_THERE",
    ),
    "a macro": ("{% macro a() %}{% endmacro %}", "line 1: {% macro %} is not allowed"),
    "an include": ("{% include '/etc/passwd' %}", "is not allowed"),
    "brackets": ("a: {{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}", "or too many brackets"),
    "a long sum": ("a: {{ 1" + "+1" * 20_000 + " }}", "or too many brackets"),
    "a large number": ("a: {{ 2**9999999 }}", "** is not allowed"),
    "a call": ("a: {{ HOME.upper() }}", "only range(…) can be called"),
    "half a mark": ("a: {{ HOME", "line 1: "),
    "a mark in a mark": ("a: {{ '{{' }}", 'still holds "{{" after'),
    "a model that is none": ("task: {model: [1]}", "task.model is [1]; it must be a mapping with class"),
    "a model without class": ("task: {model: {kwargs: {}}}", "task.model is {'kwargs': {}}; it must be"),
    "arguments that are none": (
        "task: {model: {class: LGBModel, module_path: qlib.contrib.model.gbdt, kwargs: 3}}",
        "task.model.kwargs is 3; it must be a mapping of arguments",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_workflow_is_refused(tmp_path: Path, content: str | bytes, sentence: str):
    """With what is wrong and where."""
    file = tmp_path / "workflow.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(RefusedError) as caught:
        adopt(read_original(file, {"HOME": "/root"}), "mine")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none.yaml", "."])
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str):
    """With the reason of the operating system."""
    with pytest.raises(RefusedError, match="cannot be read: "):
        read_original(tmp_path / name, {})


def test_endless_file_is_refused(tmp_path: Path):
    """A device ends nothing; no more is read than a file may have."""
    (tmp_path / "workflow.yaml").symlink_to("/dev/zero")
    with pytest.raises(RefusedError, match="is larger than"):
        read_original(tmp_path / "workflow.yaml", {})


def test_variables_of_the_environment_are_filled_in(tmp_path: Path):
    """As qrun does, and the report names each."""
    file = tmp_path / "workflow.yaml"
    file.write_text(changed(("pool: &pool csi300", "{% if POOL %}pool: &pool {{ POOL }}{% endif %}")))
    found = adopt(read_original(file, {"POOL": "csi500", "OTHER": "x"}), "mine")
    assert found.spec["workflow"]["market"] == "csi500"  # type: ignore[index]
    assert "{{ POOL }}" in {note.place for note in found.report.changed}


def test_byte_order_mark_is_no_content(tmp_path: Path):
    """Some editors write one."""
    file = tmp_path / "workflow.yaml"
    file.write_text(PLAIN, encoding="utf-8-sig")
    assert read_original(file, {}).document["pool"] == "csi300"


WORDS = [
    "null",
    "[]",
    "{}",
    "1e999",
    "-1",
    "true",
    "'x'",
    "[1, 2, 3]",
    "{a: {b: c}}",
    "2020-01-01",
    "*pool",
    "<<",
]


def test_random_damage_gives_a_run_or_a_sentence(tmp_path: Path):
    """A value of another kind in any place: any other error than the refusal fails the test."""
    generator = random.Random(11)
    texts = [PLAIN, changed((MODEL, ENSEMBLE)), changed(*WITH_OWN_FEATURES)]
    file = tmp_path / "workflow.yaml"
    for _ in range(ROUNDS):
        lines = generator.choice(texts).splitlines()
        for _ in range(generator.randint(1, 3)):
            number = generator.randrange(len(lines))
            key, colon, _ = lines[number].partition(": ")
            word = generator.choice(WORDS)
            lines[number] = f"{key}: {word}" if colon else generator.choice(["", lines[number] + word])
        file.write_text("\n".join(lines))
        with contextlib.suppress(RefusedError):
            adopt(read_original(file, {}), "mine")

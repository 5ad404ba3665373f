"""Where the text of a user's template comes from, and the sentences if it is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.unit.runner.workflow.workflow_builders import BUILT_IN, ROOT, own

from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.contract.spec.workflow import ConfigMapRef
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow.prepare import render_without_data
from qlib_shadow_runner.workflow.templates import LARGEST, find_template, own_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SAMPLE = ROOT / "manifests" / "samples" / "own-template.yaml"
RUN = {
    "apiVersion": "qlibshadow.io/v1alpha1",
    "kind": "QlibShadowRun",
    "metadata": {"name": "mine"},
    "spec": {"workflow": {"configMapRef": {"name": "momentum"}}},
}
MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "momentum"},
    "data": {"workflow.yaml": BUILT_IN},
}


def command(*words: object) -> subprocess.CompletedProcess[str]:
    """Call qlib-shadow."""
    called = [sys.executable, "-m", "qlib_shadow_runner", *map(str, words)]
    return subprocess.run(called, capture_output=True, text=True, check=False)


def written(path: Path, *documents: Mapping[str, object]) -> Path:
    """Write documents into one file, as kubectl takes them."""
    path.write_text(yaml.safe_dump_all(documents))
    return path


def test_template_text_comes_with_the_reference():
    """As the operator hands it over."""
    spec = parse_spec({"workflow": {"configMapRef": {"name": "mine", "key": "a.yaml"}}})
    found = find_template(spec.workflow, "x: 1\n")
    assert (found.name, found.text) == ('ConfigMap "mine", key "a.yaml"', "x: 1\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            None,
            'ConfigMap "mine", key "workflow.yaml", which spec.workflow.configMapRef names, was not handed',
        ),
        ("", 'ConfigMap "mine", key "workflow.yaml" is empty'),
        (" \n", "is empty"),
        ("é" * LARGEST, "holds more than 65,536 bytes, which is what a template may have"),
    ],
    ids=["missing", "empty", "white", "too large"],
)
def test_missing_empty_or_large_text_is_refused_with_its_configmap(text: str | None, sentence: str):
    """The key is named too."""
    with pytest.raises(StageError) as caught:
        own_template(ConfigMapRef("mine"), text)
    assert sentence in caught.value.message
    assert caught.value.reason is Reason.TEMPLATE_NOT_FOUND
    assert caught.value.exit_code is ExitCode.BAD_CONFIG


def test_stage_without_the_text_says_so_in_its_result(
    tmp_path: Path, stage_environ: Callable[..., dict[str, str]]
):
    """As a user error, which is not retried."""
    dataset = {"source": {"synthetic": {"symbols": 10, "days": 250}}}
    environ = stage_environ({"dataset": dataset, "workflow": {"configMapRef": {"name": "mine"}}})
    for stage in ("download", "qrun"):
        command = [sys.executable, "-m", "qlib_shadow_runner", "stage", stage]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    result = json.loads((tmp_path / "termination-log").read_bytes())
    assert (done.returncode, result["reason"]) == (10, "TemplateNotFound")
    assert result["message"].startswith(
        'ConfigMap "mine", key "workflow.yaml", which spec.workflow.configMapRef'
    )


def test_sample_is_valid():
    """With its ConfigMap in the same file, as it would be applied."""
    done = command("validate", SAMPLE)
    assert (done.returncode, done.stderr) == (0, "")


def test_template_flag_overrides_the_file(tmp_path: Path):
    """The ConfigMap's template is broken, the flag's is not."""
    file = written(tmp_path / "run.yaml", {**MAP, "data": {"workflow.yaml": "a: {{ b }}"}}, RUN)
    (tmp_path / "mine.yaml").write_text(BUILT_IN)
    assert command("validate", file, "--template", tmp_path / "mine.yaml").returncode == 0
    done = command("validate", file)
    assert done.returncode == 10
    assert 'InvalidWorkflow: ConfigMap "momentum", key "workflow.yaml", line 1: "b" is no' in done.stderr


ABSENT: dict[str, tuple[list[Mapping[str, object]], str]] = {
    "no ConfigMap": ([RUN], 'holds no ConfigMap named "momentum", which spec.workflow.configMapRef names.'),
    "another ConfigMap": (
        [{**MAP, "metadata": {"name": "momentun"}}, RUN],
        'holds no ConfigMap named "momen',
    ),
    "a ConfigMap elsewhere": (
        [
            {**MAP, "metadata": {"name": "momentum", "namespace": "there"}},
            {**RUN, "metadata": {"name": "mine", "namespace": "here"}},
        ],
        'holds no ConfigMap named "momentum"',
    ),
    "two of a name": ([MAP, MAP, RUN], 'holds 2 ConfigMaps named "momentum"'),
    "another key": (
        [{**MAP, "data": {"workflow.yml": "x"}}, RUN],
        'has no key "workflow.yaml"; did you mean "workflow.yml"?',
    ),
    "no data": ([{**MAP, "data": None}, RUN], 'has no key "workflow.yaml"; it has no data.'),
    "a mapping for a text": (
        [{**MAP, "data": {"workflow.yaml": {"task": 1}}}, RUN],
        'has no text at "workflow.yaml": write "workflow.yaml: |"',
    ),
    "nothing in it": ([{**MAP, "data": {"workflow.yaml": ""}}, RUN], "is empty. Write a workflow template"),
}


@pytest.mark.parametrize(("documents", "sentence"), ABSENT.values(), ids=ABSENT)
def test_missing_template_fails_in_one_sentence(
    tmp_path: Path, documents: list[Mapping[str, object]], sentence: str
):
    """Before anything is written, with the cause and the remedy."""
    done = command("run", written(tmp_path / "run.yaml", *documents), "--data", tmp_path / "data")
    assert done.returncode == 10
    assert done.stderr.startswith("qlib-shadow: TemplateNotFound: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_template_flag_without_a_reference_is_refused(tmp_path: Path):
    """The manifest must have the same meaning in a cluster."""
    file = written(tmp_path / "run.yaml", {**RUN, "spec": {}})
    done = command("validate", file, "--template", SAMPLE)
    assert (done.returncode, "Write configMapRef: {name: my-template} there" in done.stderr) == (10, True)


def test_missing_file_of_the_template_flag_is_named(tmp_path: Path):
    """The usual mistake."""
    done = command("validate", SAMPLE, "--template", tmp_path / "none.yaml")
    assert (done.returncode, "none.yaml cannot be read: No such file" in done.stderr) == (10, True)


def test_download_needs_no_template(tmp_path: Path):
    """The download stage does not ask for what it does not use."""
    spec = {**RUN["spec"], "dataset": {"source": {"synthetic": {"symbols": 10, "days": 250}}}}  # type: ignore[dict-item]
    file = written(tmp_path / "run.yaml", {**RUN, "spec": spec})
    done = command("download", file, "--data", tmp_path / "data", "--json")
    assert (done.returncode, json.loads(done.stdout)["reason"]) == (0, "Succeeded")


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"market": "sp500", "benchmark": "SPY"},
        {"segments": {"train": ["2001-01-02", "2009-12-31"], "valid": ["2010-02-01", "2011-12-30"],
                      "test": ["2012-02-01", "2013-12-31"]}},
    ],
    ids=["nothing asked", "names asked", "days asked"],
)  # fmt: skip
def test_template_is_rendered_without_a_dataset(spec: dict[str, object]):
    """For a made-up market, so that most mistakes show before any data is there."""
    research = render_without_data(parse_spec({"workflow": spec}), own())
    assert research.workflow.document["task"]


def test_rendering_without_a_dataset_refuses_what_the_stage_would():
    """For example a class that is not allowed."""
    with pytest.raises(StageError, match="HFLGBModel, which is not among"):
        render_without_data(
            parse_spec({}), own(("    class: LGBModel", "    class: qlib.contrib.model.gbdt.HFLGBModel"))
        )

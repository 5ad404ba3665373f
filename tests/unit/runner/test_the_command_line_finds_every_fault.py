"""`qlib-shadow validate`: all faults at once, each with the nearest word that would be right."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.cli.faults import spec_faults

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "apiVersion: qlibshadow.io/v1alpha1\nkind: QlibShadowRun\nmetadata: {name: demo}\n"
MANY = """
runid: x
dataset:
  regoin: us
  refresh: Sometimes
  source: {prices: {path: ../etc, colums: {}, adjust: adj-close}}
  quality: {block: [split_jump]}
workflow:
  markt: sp500
  model: {learning_rate: 5, num_leafs: 3}
  strategy: {topk: 5, nDrop: 9}
  segments: {train: [2020-01-02, 2019-01-02], valid: []}
"""


def validate(text: str, tmp_path: Path, *more: str) -> int:
    """Write a manifest and validate it in this process."""
    file = tmp_path / "run.yaml"
    file.write_text(text)
    return main(["validate", str(file), *more])


def indented(spec: str) -> str:
    """Put a spec below its key."""
    return HEAD + "spec:\n" + "".join(f"  {line}\n" for line in spec.splitlines())


def test_every_fault_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Nothing that follows from another fault is added, and nothing is left out."""
    assert validate(indented(MANY), tmp_path) == 10
    said = capsys.readouterr().err
    faults = [line for line in said.splitlines() if line.startswith("  - ")]
    for sentence in (
        'spec has no field "runid"; did you mean "runId"?',
        'spec.dataset has no field "regoin"; did you mean "region"?',
        "spec.dataset.refresh must be one of IfMissing, Always, Never, not 'Sometimes'",
        'spec.dataset.source.prices.path "../etc" must lie on the volume',
        'spec.dataset.source.prices has no field "colums"; did you mean "columns"?',
        "spec.dataset.source.prices.adjust must be one of auto, factor, adj_close, none",
        'spec.dataset.quality.block has no check "split_jump"; did you mean "split_jumps"?',
        'spec.workflow has no field "markt"; did you mean "market"?',
        "spec.workflow.model.learning_rate must be a number from",
        'spec.workflow.model has no field "num_leafs"; did you mean "num_leaves"?',
        "spec.workflow.strategy.nDrop is 9, more than topk, which is 5",
        "spec.workflow.segments lacks test",
    ):
        assert sum(sentence in fault for fault in faults) == 1, (sentence, said)
    assert len(faults) == 12, said
    assert said.startswith(f"qlib-shadow: InvalidSpec: {tmp_path / 'run.yaml'} has 12 faults:\n")


def test_the_frame_and_the_spec_are_looked_at_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A typo at the top would otherwise make a run of nothing but defaults."""
    text = HEAD.replace("v1alpha1", "v1").replace("demo", "Demo") + "sepc: {}\nspec: {workflow: {seed: x}}\n"
    assert validate(text, tmp_path, "--json") == 10
    document = json.loads(capsys.readouterr().out)
    assert (document["reason"], document["exitCode"], set(document)) == (
        "InvalidSpec",
        10,
        {"reason", "message", "exitCode"},
    )
    for sentence in (
        'has no field "sepc" at its top; did you mean "spec"?',
        'has apiVersion "qlibshadow.io/v1"; write qlibshadow.io/v1alpha1',
        'has metadata.name "Demo"',
        "spec.workflow.seed must be a whole number",
    ):
        assert sentence in document["message"]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"runId": "A B"}, 'runId "A B" must be lower-case'),
        ({"dataset": {"source": {"prices": {}}}}, "spec.dataset.source.prices lacks path"),
        ({"dataset": {"source": {"archive": {"url": "ftp://x/y"}}}}, "sha256 is needed"),
        ({"dataset": {"source": {"yahoo": {}}}}, '"yahoo" is not available'),
        ({"dataset": []}, "spec.dataset must be a mapping"),
        ({"workflow": {"segments": {"train": [1]}}}, "spec.workflow.segments lacks valid, test"),
    ],
)
def test_a_single_fault_stays_a_single_one(spec: dict[str, object], sentence: str):
    """Leaving out what is wrong makes no new fault."""
    [fault] = spec_faults(spec)
    assert sentence in fault.message


def test_all_that_stands_beside_a_version_is_told():
    """Each by its name."""
    spec = {"dataset": {"version": "808737d06485", "refresh": "Never", "maxAgeDays": 3, "path": "/etc"}}
    told = [fault.message for fault in spec_faults(spec)]
    assert [message.split()[0] for message in told] == [
        "spec.dataset.refresh",
        "spec.dataset.maxAgeDays",
        "spec.dataset.path",
    ]


def test_a_fault_beside_another_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Also where the first one hides the second's parent."""
    spec = 'runId: "A B"\ndataset: {source: {archive: {url: "ftp://x/y"}}}\nworkflow: {seed: -1}'
    assert validate(indented(spec), tmp_path) == 10
    assert "has 3 faults:" in capsys.readouterr().err


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """As the API server does; YAML alone would take the last one in silence."""
    assert validate(HEAD + "spec:\n  workflow: {seed: 1}\n  workflow: {seed: 2}\n", tmp_path) == 10
    assert 'is not YAML at line 6: the key "workflow" is there twice' in capsys.readouterr().err


def test_a_manifest_may_come_by_a_pipe(tmp_path: Path):
    """As `kubectl apply -f -` takes it."""
    words = [sys.executable, "-m", "qlib_shadow_runner", "validate", "-", "--json"]
    done = subprocess.run(words, input=HEAD, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == {"file": "/dev/stdin", "name": "demo", "valid": True}

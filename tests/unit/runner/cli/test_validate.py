"""`qlib-shadow validate`: prints all faults, each with the nearest valid word."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.spec import spec_faults

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
    """Return a manifest with this spec."""
    return HEAD + "spec:\n" + "".join(f"  {line}\n" for line in spec.splitlines())


def test_every_fault_is_printed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """No fault is missing, and none is added that follows from another."""
    assert validate(indented(MANY), tmp_path) == 10
    output = capsys.readouterr().err
    faults = [line for line in output.splitlines() if line.startswith("  - ")]
    for sentence in (
        'spec has no field "runid"; did you mean "runId"?',
        'spec.dataset has no field "regoin"; did you mean "region"?',
        "spec.dataset.refresh must be one of IfMissing, Always, Never, not 'Sometimes'",
        'spec.dataset.source.prices.path "../etc" must lie on the volume',
        'spec.dataset.source.prices has no field "colums"; did you mean "columns"?',
        "spec.dataset.source.prices.adjust must be one of auto, factor, adj_close, none",
        "all, not 'split_jump'; did you mean \"split_jumps\"?",
        'spec.workflow has no field "markt"; did you mean "market"?',
        "spec.workflow.model.learning_rate must be a number from",
        'spec.workflow.model has no field "num_leafs"; did you mean "num_leaves"?',
        "spec.workflow.strategy must have an nDrop of at most topk (topk is 5, nDrop is 9); lower it",
        "spec.workflow.segments lacks test",
        "spec.workflow.segments.train must be [first day, last day], the first not after the last",
        "spec.workflow.segments.valid must be [first day, last day]",
    ):
        assert sum(sentence in fault for fault in faults) == 1, (sentence, output)
    assert len(faults) == 14, output
    assert output.startswith(f"qlib-shadow: InvalidSpec: {tmp_path / 'run.yaml'} has 14 faults:\n")


def test_faults_outside_and_inside_the_spec_are_printed_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
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
        ({"dataset": {"source": {"archive": {"url": "https://x/y"}}}}, "needs sha256"),
        ({"dataset": {"source": {"yahoo": {}}}}, 'has no field "yahoo"'),
        ({"dataset": []}, "spec.dataset must be a mapping"),
        (
            {"workflow": {"segments": {"train": ["2020-01-02"] * 2}}},
            "spec.workflow.segments lacks valid, test",
        ),
    ],
)
def test_single_fault_gives_no_further_faults(spec: dict[str, object], sentence: str):
    """Leaving out what is wrong makes no new fault."""
    [fault] = spec_faults(spec)
    assert sentence in fault.message


def test_every_field_that_excludes_a_version_is_printed():
    """Each by its name."""
    spec = {"dataset": {"version": "808737d06485", "refresh": "Never", "maxAgeDays": 3, "path": "/etc"}}
    messages = [fault.message for fault in spec_faults(spec)]
    assert [message.partition(",")[0] for message in messages] == [
        'spec.dataset.path "/etc" must lie under /data',
        "spec.dataset cannot have refresh beside version",
        "spec.dataset cannot have maxAgeDays beside version",
    ]


def test_fault_beside_another_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Also where the first fault is in a parent of the second."""
    spec = 'runId: "A B"\ndataset: {source: {archive: {url: "ftp://x/y"}}}\nworkflow: {seed: -1}'
    assert validate(indented(spec), tmp_path) == 10
    assert "has 4 faults:" in capsys.readouterr().err


def test_duplicate_key_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """As by the API server; PyYAML alone would silently take the last one."""
    assert validate(HEAD + "spec:\n  workflow: {seed: 1}\n  workflow: {seed: 2}\n", tmp_path) == 10
    assert 'is not YAML at line 6: the key "workflow" is there twice' in capsys.readouterr().err


def test_manifest_is_read_from_stdin(tmp_path: Path):
    """As `kubectl apply -f -` takes it."""
    words = [sys.executable, "-m", "qlib_shadow_runner", "validate", "-", "--json"]
    done = subprocess.run(words, input=HEAD, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == {"file": "/dev/stdin", "name": "demo", "valid": True}


def test_a_limit_of_the_ledger_that_no_night_keeps_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The manifest is valid; nothing is said where the data decides how many instruments are held."""
    ledger = "ledger: {book: us, capital: 1000, limits: {maxWeight: 0.1}}\n"
    assert validate(indented(ledger + "workflow: {strategy: {topk: 5}}"), tmp_path) == 0
    assert (
        "warning: spec.ledger.limits.maxWeight is 10.0%, and 5 instruments have 19.0%"
        in capsys.readouterr().err
    )
    assert validate(indented(ledger), tmp_path) == 0
    assert capsys.readouterr().err == ""

"""`qlib-shadow adopt`: the manifest on stdout or in a new file, the report on stderr."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.unit.runner.adopt.qrun_files import PLAIN, changed

from qlib_shadow_runner.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """Return a workflow file for plain qrun, of which a part is left out."""
    file = tmp_path / "workflow_config_My_Flow.yaml"
    file.write_text(changed(("loss: mse", "loss: mse\n            metric: auc")))
    return file


def test_manifest_goes_to_stdout_and_the_report_to_stderr(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """So that it can be piped; the manifest is valid and names where it is from."""
    assert main(["adopt", str(original)]) == 0
    written = capsys.readouterr()
    first, second = yaml.safe_load_all(written.out)
    assert (first["kind"], second["kind"]) == ("ConfigMap", "QlibShadowRun")
    assert first["metadata"]["name"] == second["metadata"]["name"] == "my-flow"
    assert written.out.startswith("# Adopted by qlib-shadow from workflow_config_My_Flow.yaml.\n")
    assert "written differently; the question is the same\n  task.model: LGBModel" in written.err
    assert "left out; figures may differ\n  task.model.kwargs.metric: 'auc'" in written.err
    assert "next: qlib-shadow run -, or kubectl apply -f -" in written.err
    run = tmp_path / "run.yaml"
    run.write_text(written.out)
    assert main(["validate", str(run)]) == 0


def test_new_file_is_written_and_an_old_one_is_not(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A file that is there may have been changed by hand, or be the original."""
    run = tmp_path / "run.yaml"
    assert main(["adopt", str(original), "--output", str(run), "--name", "mine"]) == 0
    before = run.read_text()
    assert "name: mine\n" in before
    assert capsys.readouterr().out == ""
    assert main(["adopt", str(original), "--output", str(run)]) == 10
    assert f"{run} is there already; remove it" in capsys.readouterr().err
    assert run.read_text() == before
    assert main(["adopt", str(original), "--output", str(tmp_path / "none" / "run.yaml")]) == 10
    assert "run.yaml cannot be written: No such file or directory" in capsys.readouterr().err


def test_json_has_the_manifest_and_the_notes(original: Path, capsys: pytest.CaptureFixture[str]):
    """And nothing else."""
    assert main(["adopt", str(original), "--json"]) == 0
    written = capsys.readouterr()
    document = json.loads(written.out)
    assert set(document) == {"name", "output", "manifest", "changed", "leftOut"}
    assert document["leftOut"][0]["place"] == "task.model.kwargs.metric"
    assert document["manifest"].startswith("# Adopted")
    assert written.err == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.yaml"], "none.yaml cannot be read: No such file or directory. Nothing was written."),
        (["--name", "Mine"], '--name is "Mine"; it must be lower-case letters'),
        (
            ["bad.yaml"],
            "needs the model GRU, which the image does not have: it needs PyTorch; take LGBModel or",
        ),
    ],
    ids=["no file", "no name", "no model"],
)
def test_refusal_is_one_sentence(
    original: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    """With exit code 10, and nothing on stdout."""
    monkeypatch.chdir(original.parent)
    (original.parent / "bad.yaml").write_text(
        changed(
            ("class: LGBModel", "class: GRU"), ("qlib.contrib.model.gbdt", "qlib.contrib.model.pytorch_gru")
        )
    )
    assert main(["adopt", *(words if "yaml" in words[0] else [original.name, *words])]) == 10
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("qlib-shadow: InvalidWorkflow: ")
    assert sentence in written.err
    assert written.err.count("\n") == 1


def test_file_may_come_from_stdin(tmp_path: Path):
    """And the manifest go to the next command."""
    words = [sys.executable, "-m", "qlib_shadow_runner"]
    made = subprocess.run([*words, "adopt", "-"], input=PLAIN, capture_output=True, text=True, check=True)
    done = subprocess.run(
        [*words, "validate", "-"], input=made.stdout, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "/dev/stdin: QlibShadowRun adopted is valid\n"

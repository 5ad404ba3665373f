"""`qlib-shadow download`: the dataset and nothing else, by the stage that a run uses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import ARTIFACTS

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """
apiVersion: qlibshadow.io/v1alpha1
kind: QlibShadowRun
metadata: {name: demo}
spec:
  runId: mine
  dataset: {source: {synthetic: {symbols: 20, days: 300}}}
"""


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Call qlib-shadow."""
    words = [sys.executable, "-m", "qlib_shadow_runner", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a manifest with a small synthetic dataset and a runId."""
    path = tmp_path / "run.yaml"
    path.write_text(MANIFEST)
    return path


def test_the_dataset_is_there_afterwards_and_nobody_seems_to_run(tmp_path: Path, file: Path):
    """The spec's runId stays free for the run; twice is no more work and no failure."""
    data = tmp_path / "data"
    first, second = (command("download", file, "--data", data, "--json") for _ in range(2))
    assert (first.returncode, first.stderr, second.returncode) == (0, "", 0)
    found = json.loads(first.stdout)
    assert found["dataset"] == json.loads(second.stdout)["dataset"]
    assert (data / "qlib/qlib_data/us_data_1d").is_symlink()
    assert not (data / ARTIFACTS / "mine").exists()
    listed = json.loads(command("runs", "--data", data, "--json").stdout)
    assert [run["status"] for run in listed] == ["downloaded", "downloaded"]
    assert all(run["runId"].startswith("download-demo-") for run in listed)


def test_a_download_that_fails_says_why_and_where(tmp_path: Path, file: Path):
    """With the stage's own code."""
    file.write_text(MANIFEST.replace("synthetic: {symbols: 20, days: 300}", "existing: {}"))
    done = command("download", file, "--data", tmp_path / "data")
    assert done.returncode == 11
    assert done.stderr.startswith("DatasetMissing: there is no dataset at ")
    assert "stderr.log" in done.stderr.splitlines()[-1]


def test_a_wrong_file_is_one_sentence_and_ten(tmp_path: Path, file: Path):
    """Before anything is made."""
    file.write_text("a: [")
    done = command("download", file, "--data", tmp_path / "data")
    assert (done.returncode, done.stderr.count("\n")) == (10, 1)
    assert not (tmp_path / "data").exists()

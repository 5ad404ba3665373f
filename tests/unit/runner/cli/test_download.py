"""`qlib-shadow download`: makes only the dataset, by the same stage as a run."""

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
    """Run qlib-shadow in a process."""
    words = [sys.executable, "-m", "qlib_shadow_runner", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a manifest with a small synthetic dataset and a runId."""
    path = tmp_path / "run.yaml"
    path.write_text(MANIFEST)
    return path


def test_dataset_is_made_and_the_run_is_listed_as_downloaded(tmp_path: Path, file: Path):
    """The spec's runId stays free for the run; a second download uses the same dataset."""
    data = tmp_path / "data"
    first, second = (command("download", file, "--data", data, "--json") for _ in range(2))
    assert (first.returncode, first.stderr, second.returncode) == (0, "", 0)
    found = json.loads(first.stdout)
    assert found["dataset"] == json.loads(second.stdout)["dataset"]
    assert (data / "qlib/qlib_data/us_data_1d").is_symlink()
    assert not (data / ARTIFACTS / "mine").exists()
    listed = json.loads(command("runs", "--status", "downloaded", "--data", data, "--json").stdout)
    assert [run["status"] for run in listed] == ["downloaded", "downloaded"]
    assert all(run["runId"].startswith("download-demo-") for run in listed)


def test_failed_download_prints_reason_and_log(tmp_path: Path, file: Path):
    """It exits with the code of the stage."""
    file.write_text(MANIFEST.replace("synthetic: {symbols: 20, days: 300}", "existing: {}"))
    done = command("download", file, "--data", tmp_path / "data")
    assert done.returncode == 11
    assert done.stderr.startswith("DatasetMissing: there is no dataset at ")
    assert "stderr.log" in done.stderr.splitlines()[-1]


def test_wrong_manifest_is_one_sentence_and_exit_code_10(tmp_path: Path, file: Path):
    """Before anything is created."""
    file.write_text("a: [")
    done = command("download", file, "--data", tmp_path / "data")
    assert (done.returncode, done.stderr.count("\n")) == (10, 1)
    assert not (tmp_path / "data").exists()

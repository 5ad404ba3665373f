"""A manifest with a runId, run again: the same question goes on, another one is refused, two never mix."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.cli.run_folder_lock import locked_run_folder
from qlib_shadow_runner.cli.run_manifest import load_manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD = "apiVersion: qlibshadow.io/v1alpha1\nkind: QlibShadowRun\nmetadata: {name: demo}\n"
SPEC = "spec:\n  runId: mine\n  workflow: {seed: 7}\n"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a manifest that fails at once: there is no dataset."""
    path = tmp_path / "run.yaml"
    path.write_text(HEAD + SPEC)
    return path


@pytest.fixture
def run(tmp_path: Path, file: Path) -> Callable[..., int]:
    """Run it in this process."""
    return lambda *words: main(["run", str(file), "--data", str(tmp_path / "data"), *words])


def folder(tmp_path: Path) -> Path:
    """Give the run folder."""
    return tmp_path / "data/artifacts/trading-ops/qlib-shadow/mine"


def uid(path: Path, text: str) -> str:
    """Give the uid that a manifest's run would have."""
    path.write_text(text)
    return load_manifest(path).request(NOW)["uid"]


def test_the_same_question_has_the_same_uid_and_another_has_another(file: Path):
    """Comments, order and what only the operator reads are no part of the question."""
    first = uid(file, HEAD + SPEC)
    same = "# again\nspec: {suspend: false, ttlSecondsAfterFinished: 5, workflow: {seed: 7}, runId: mine}\n"
    assert uid(file, same + HEAD) == first
    others = [
        HEAD + SPEC.replace("7", "8"),
        HEAD + SPEC.replace("mine", "yours"),
        HEAD.replace("demo", "other") + SPEC,
    ]
    assert len({first, *(uid(file, text) for text in others)}) == 4
    nameless = HEAD + "spec: {}\n"
    assert uid(file, nameless) != uid(file, nameless)


def test_running_it_again_goes_on_in_its_folder(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
):
    """The second attempt is one of the same run, and says so."""
    assert [run(), run()] == [11, 11]
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("mine")] == ["mine", "mine  continued"]
    metadata = json.loads((folder(tmp_path) / "RUN_METADATA.json").read_text())
    assert metadata["stages"]["download"]["attempts"] == 2


def test_a_changed_manifest_is_refused_with_the_ways_out(
    tmp_path: Path, file: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
):
    """What the folder holds answers another question."""
    assert run() == 11
    before = (folder(tmp_path) / "RUN_METADATA.json").read_bytes()
    capsys.readouterr()
    file.write_text(HEAD + SPEC.replace("7", "8"))
    assert run("--json") == 10
    told = json.loads(capsys.readouterr().out)
    assert told["reason"] == "RunFolderTaken"
    assert told["message"] == (
        f'spec.runId "mine" is taken: {folder(tmp_path)} is of another manifest, or of this one before '
        "it was changed. Choose another spec.runId, leave it out, or remove the folder to begin anew."
    )
    assert (folder(tmp_path) / "RUN_METADATA.json").read_bytes() == before


def test_two_at_once_never_mix(tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]):
    """The second is told of the first; when that has ended, it may."""
    folder(tmp_path).mkdir(parents=True)
    descriptor = os.open(folder(tmp_path), os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert run() == 10
    assert "another qlib-shadow run is at work in" in capsys.readouterr().err
    assert list(folder(tmp_path).iterdir()) == []
    os.close(descriptor)
    assert run() == 11


def test_a_stage_that_outlives_its_command_keeps_the_folder(tmp_path: Path, run: Callable[..., int]):
    """The lock is the stage's too: killing the command alone lets nobody begin beside what it left."""
    with locked_run_folder(folder(tmp_path), load_manifest(tmp_path / "run.yaml").request(NOW)) as descriptor:
        stage = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
    assert run() == 10
    stage.communicate()
    assert run() == 11

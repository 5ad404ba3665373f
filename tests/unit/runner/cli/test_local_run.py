"""A manifest with a runId that is run again: the same spec continues, a changed one is rejected."""

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
    """Write a manifest that fails at once, because there is no dataset."""
    path = tmp_path / "run.yaml"
    path.write_text(HEAD + SPEC)
    return path


@pytest.fixture
def run(tmp_path: Path, file: Path) -> Callable[..., int]:
    """Return a function that runs it in this process."""
    return lambda *words: main(["run", str(file), "--data", str(tmp_path / "data"), *words])


def folder(tmp_path: Path) -> Path:
    """Return the run folder."""
    return tmp_path / "data/artifacts/trading-ops/qlib-shadow/mine"


def uid(path: Path, text: str) -> str:
    """Return the uid of a run of this manifest."""
    path.write_text(text)
    return load_manifest(path).request(NOW)["uid"]


def test_same_spec_has_the_same_uid_and_a_changed_one_has_another(file: Path):
    """Comments, order and fields that only the operator reads do not change it."""
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


def test_second_run_continues_in_the_same_folder(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
):
    """It is the second attempt of the same run, and says so."""
    assert [run(), run()] == [11, 11]
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("mine")] == ["mine", "mine  continued"]
    metadata = json.loads((folder(tmp_path) / "RUN_METADATA.json").read_text())
    assert metadata["stages"]["download"]["attempts"] == 2


def test_changed_manifest_is_rejected(
    tmp_path: Path, file: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
):
    """The message says what to do; the folder is not changed."""
    assert run() == 11
    before = (folder(tmp_path) / "RUN_METADATA.json").read_bytes()
    capsys.readouterr()
    file.write_text(HEAD + SPEC.replace("7", "8"))
    assert run("--json") == 10
    printed = json.loads(capsys.readouterr().out)
    assert printed["reason"] == "RunFolderTaken"
    assert printed["message"] == (
        f'spec.runId "mine" is taken: {folder(tmp_path)} belongs to another manifest, or to this one '
        "before it was changed. Choose another spec.runId, leave it out, or remove the folder to start again."
    )
    assert (folder(tmp_path) / "RUN_METADATA.json").read_bytes() == before


def test_two_runs_cannot_use_one_folder_at_the_same_time(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
):
    """The second one can start when the first has ended."""
    folder(tmp_path).mkdir(parents=True)
    descriptor = os.open(folder(tmp_path), os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert run() == 10
    assert "another qlib-shadow run is at work in" in capsys.readouterr().err
    assert list(folder(tmp_path).iterdir()) == []
    os.close(descriptor)
    assert run() == 11


def test_stage_that_outlives_its_command_keeps_the_lock(tmp_path: Path, run: Callable[..., int]):
    """The stage inherits the lock, so killing only the command does not free the folder."""
    with locked_run_folder(folder(tmp_path), load_manifest(tmp_path / "run.yaml").request(NOW)) as descriptor:
        stage = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
    assert run() == 10
    stage.communicate()
    assert run() == 11


@pytest.fixture
def nameless(file: Path) -> Path:
    """Write the manifest without a runId."""
    file.write_text(HEAD + "spec:\n  workflow: {seed: 7}\n")
    return file


def started(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the first line of each run that was printed."""
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("demo-")]


def test_resume_continues_the_newest_run_of_the_file(
    nameless: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
):
    """Without the flag each call is a new run."""
    assert nameless.exists()
    assert [run(), run()] == [11, 11]
    first, second = started(capsys)
    assert first != second
    newest = max(first, second)  # both may have begun in one second
    assert run("--resume") == 11
    [continued] = started(capsys)
    assert continued in (f"{newest}  continued", f"{min(first, second)}  continued")


def test_resume_of_a_changed_file_is_refused(
    nameless: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
):
    """Another question is another run; the sentence names the run that is there."""
    assert run() == 11
    [there] = started(capsys)
    nameless.write_text(HEAD + "spec:\n  workflow: {seed: 8}\n")
    assert run("--resume") == 10
    said = capsys.readouterr().err
    assert f"({there} was made by the file before it was changed); leave --resume out" in said


def test_resume_without_a_run_is_refused(
    tmp_path: Path, nameless: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
):
    """Nothing is started."""
    (tmp_path / "data").mkdir()
    assert run("--resume") == 10
    assert f'there is no interrupted run of "demo" in {tmp_path / "data"} that {nameless} can' in (
        capsys.readouterr().err
    )
    assert list((tmp_path / "data").iterdir()) == []

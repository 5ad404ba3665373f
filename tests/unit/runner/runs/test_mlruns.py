"""MLflow's store is repaired after a run that could not finish it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.runs.mlruns import (
    RunStatus,
    copy_run,
    discard_broken,
    finished_run,
    place_run,
    rebase,
    recorded_runs,
    settle,
)

if TYPE_CHECKING:
    from pathlib import Path

RUN = """artifact_uri: file:///elsewhere/artifacts
end_time: null
run_id: {name}
start_time: {start}
status: {status}
tags: []
"""


A, B, C = ("a" * 32, "b" * 32, "c" * 32)


def record(mlruns: Path, name: str, status: int, start: int = 1) -> None:
    """Write a run as MLflow does."""
    folder = mlruns / "1" / name
    folder.mkdir(parents=True)
    (mlruns / "1" / "meta.yaml").write_text(
        "artifact_location: file:///elsewhere\nexperiment_id: '1'\nname: demo\n"
    )
    (folder / "meta.yaml").write_text(RUN.format(name=name, status=status, start=start))


def test_only_unfinished_runs_get_a_final_status(tmp_path: Path):
    """A finished run stays finished."""
    for name, status in ((A, RunStatus.RUNNING), (B, RunStatus.FINISHED), (C, RunStatus.SCHEDULED)):
        record(tmp_path, name, status)
    settle(tmp_path, RunStatus.KILLED)
    assert {run.run_id: run.status for run in recorded_runs(tmp_path)} == {A: 5, B: 3, C: 5}
    ended = (tmp_path / "1" / A / "meta.yaml").read_text()
    assert "end_time: null" not in ended
    assert "tags: []" in ended


def test_the_newest_finished_run_of_the_experiment_is_found(tmp_path: Path):
    """Failed attempts before it do not count."""
    record(tmp_path, A, RunStatus.FINISHED, start=1)
    record(tmp_path, B, RunStatus.FINISHED, start=2)
    record(tmp_path, C, RunStatus.FAILED, start=3)
    found = finished_run(tmp_path, "demo")
    assert found is not None
    assert found.run_id == B
    assert finished_run(tmp_path, "another") is None


def test_addresses_are_set_to_the_folder_of_the_store(tmp_path: Path):
    """MLflow wrote them under another path."""
    record(tmp_path, A, RunStatus.FINISHED)
    rebase(tmp_path)
    assert (
        f"artifact_uri: file://{tmp_path}/1/{A}/artifacts\n" in (tmp_path / "1" / A / "meta.yaml").read_text()
    )
    assert f"artifact_location: file://{tmp_path}/1\n" in (tmp_path / "1" / "meta.yaml").read_text()


def test_addresses_can_be_set_to_another_path(tmp_path: Path):
    """The path of an attempt, which ends when a later one takes over."""
    record(tmp_path / "store", A, RunStatus.FINISHED)
    rebase(tmp_path / "store", tmp_path / "attempt")
    run, experiment = tmp_path / f"store/1/{A}/meta.yaml", tmp_path / "store/1/meta.yaml"
    assert f"artifact_uri: file://{tmp_path}/attempt/1/{A}/artifacts\n" in run.read_text()
    assert f"artifact_location: file://{tmp_path}/attempt/1\n" in experiment.read_text()


@pytest.mark.parametrize("text", ["", "artifact_lo", None], ids=["empty", "cut", "none"])
def test_incomplete_records_are_removed(tmp_path: Path, text: str | None):
    """MLflow writes its first file in place, and cannot list a store in which one is cut."""
    for name in (A, B):
        record(tmp_path, name, RunStatus.FINISHED)
    begun = [tmp_path / "1" / B, tmp_path / "2"]
    for folder in begun:
        folder.mkdir(exist_ok=True)
        (folder / "meta.yaml").unlink(missing_ok=True)
        if text is not None:
            (folder / "meta.yaml").write_text(text)
    (tmp_path / "1" / "tags").mkdir()
    (tmp_path / ".trash").mkdir()
    discard_broken(tmp_path)
    assert [folder.exists() for folder in begun] == [False, False]
    assert [run.run_id for run in recorded_runs(tmp_path)] == [A]
    assert (tmp_path / "1" / "tags").is_dir()
    assert (tmp_path / ".trash").is_dir()


def test_a_copied_run_replaces_the_one_in_its_new_store(tmp_path: Path):
    """Under the experiment's name there, whose number the run takes; what it had before is replaced."""
    record(tmp_path / "from", A, RunStatus.FINISHED)
    (tmp_path / f"from/1/{A}/artifacts").mkdir()
    (tmp_path / f"from/1/{A}/artifacts/pred.pkl").write_text("figures")
    record(tmp_path / "to", A, RunStatus.KILLED)
    (tmp_path / "to" / "1").rename(tmp_path / "to" / "7")
    [run] = recorded_runs(tmp_path / "from")
    for store in ("to", "fresh"):
        copy_run(run, ["artifacts/pred.pkl"], tmp_path / "copied")
        placed = place_run(run, tmp_path / "copied", tmp_path / store, "demo")
        assert {path.name for path in placed.folder.iterdir()} == {"artifacts", "meta.yaml"}
        assert finished_run(tmp_path / store, "demo") == placed
        assert (placed.artifacts / "pred.pkl").read_text() == "figures"
        assert len(list(recorded_runs(tmp_path / store))) == 1
    assert (tmp_path / f"to/7/{A}").is_dir()
    assert (tmp_path / f"fresh/1/{A}").is_dir()


def test_a_missing_store_has_no_runs(tmp_path: Path):
    """The first attempt finds nothing."""
    settle(tmp_path / "none", RunStatus.KILLED)
    discard_broken(tmp_path / "none")
    assert list(recorded_runs(tmp_path / "none")) == []

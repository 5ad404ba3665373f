"""MLflow's store says how a run ended even when the run could not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.mlruns import RunStatus, finished_run, rebase, recorded_runs, settle

if TYPE_CHECKING:
    from pathlib import Path

RUN = """artifact_uri: file:///elsewhere/artifacts
end_time: null
run_id: {name}
start_time: {start}
status: {status}
tags: []
"""


def record(mlruns: Path, name: str, status: int, start: int = 1) -> None:
    """Write a run as MLflow does."""
    folder = mlruns / "1" / name
    folder.mkdir(parents=True)
    (mlruns / "1" / "meta.yaml").write_text(
        "artifact_location: file:///elsewhere\nexperiment_id: '1'\nname: demo\n"
    )
    (folder / "meta.yaml").write_text(RUN.format(name=name, status=status, start=start))


def test_only_runs_that_were_left_running_are_ended(tmp_path: Path):
    """A finished run stays finished."""
    for name, status in (("a", RunStatus.RUNNING), ("b", RunStatus.FINISHED), ("c", RunStatus.SCHEDULED)):
        record(tmp_path, name, status)
    settle(tmp_path, RunStatus.KILLED)
    assert {run.run_id: run.status for run in recorded_runs(tmp_path)} == {"a": 5, "b": 3, "c": 5}
    ended = (tmp_path / "1" / "a" / "meta.yaml").read_text()
    assert "end_time: null" not in ended
    assert "tags: []" in ended


def test_the_newest_finished_run_of_the_experiment_is_the_result(tmp_path: Path):
    """Failed attempts before it do not count."""
    record(tmp_path, "old", RunStatus.FINISHED, start=1)
    record(tmp_path, "new", RunStatus.FINISHED, start=2)
    record(tmp_path, "failed", RunStatus.FAILED, start=3)
    found = finished_run(tmp_path, "demo")
    assert found is not None
    assert found.run_id == "new"
    assert finished_run(tmp_path, "another") is None


def test_addresses_name_the_place_where_the_store_lies(tmp_path: Path):
    """MLflow was shown it by another path."""
    record(tmp_path, "a", RunStatus.FINISHED)
    rebase(tmp_path)
    assert (
        f"artifact_uri: file://{tmp_path}/1/a/artifacts\n" in (tmp_path / "1" / "a" / "meta.yaml").read_text()
    )
    assert f"artifact_location: file://{tmp_path}/1\n" in (tmp_path / "1" / "meta.yaml").read_text()


def test_no_store_is_no_runs(tmp_path: Path):
    """The first attempt finds nothing."""
    settle(tmp_path / "none", RunStatus.KILLED)
    assert list(recorded_runs(tmp_path / "none")) == []

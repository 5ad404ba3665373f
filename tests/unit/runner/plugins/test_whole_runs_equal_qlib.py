"""A whole run has the same predictions, analysis, portfolio and signals with each engine, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from local_stages import LocalVolume, small_run
from qlib_shadow_runner.cache.matrices import MatrixStore
from qlib_shadow_runner.cache.places import (
    ENV_CACHE,
    ENV_LIMIT,
    ENV_REPORT,
    FEATURES_CACHE,
    limit_for_children,
)
from qlib_shadow_runner.contract import ExitCode
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.process.environment import child_environment
from qlib_shadow_runner.runs.mlruns import finished_run
from qlib_shadow_runner.workflow.read_yaml import read_document

if TYPE_CHECKING:
    from pathlib import Path

ENGINES = ("qlib", "fast", "again")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> LocalVolume:
    """Run with Qlib's engine, with the fast one, and with the fast one again."""
    volume = LocalVolume(tmp_path_factory.mktemp("engines"), small_run())
    for name in ENGINES:
        volume.spec["workflow"]["engine"] = "qlib" if name == "qlib" else "fast"
        volume.run(name)
    return volume


def artifacts(volume: LocalVolume, name: str) -> dict[str, Any]:
    """Return every frame that the run's recorder holds."""
    recorded = finished_run(volume.folder(name) / "mlruns", name)
    assert recorded is not None
    files = sorted(recorded.artifacts.rglob("*.pkl"))
    found = {str(file.relative_to(recorded.artifacts)): pd.read_pickle(file) for file in files}
    return {path: one for path, one in found.items() if isinstance(one, pd.DataFrame | pd.Series)}


@pytest.mark.parametrize("name", ["fast", "again"])
def test_recorded_artifacts_are_equal(runs: LocalVolume, name: str):
    """Predictions and labels, both series of correlations, the report, the analysis."""
    theirs, ours = artifacts(runs, "qlib"), artifacts(runs, name)
    assert theirs.keys() == ours.keys()
    assert {
        "pred.pkl",
        "label.pkl",
        "sig_analysis/ic.pkl",
        "portfolio_analysis/report_normal_1day.pkl",
    } <= set(theirs)
    for path, frame in theirs.items():
        pd.testing.assert_index_equal(frame.index, ours[path].index)
        assert np.asarray(frame).tobytes() == np.asarray(ours[path]).tobytes(), path


def test_signals_and_figures_are_equal(runs: LocalVolume):
    """The files that people and programs read."""
    figures = [json.loads((runs.folder(name) / "metrics.json").read_text()) for name in ENGINES]
    for one in figures:
        del (
            one["runId"],
            one["configHash"],
        )  # the run, and its class paths
    assert figures[0] == figures[1] == figures[2]
    hashes = {runs.metadata(name)["signals_sha256"] for name in ENGINES}
    assert len(hashes) == 1


def test_metadata_reports_feature_statistics(runs: LocalVolume):
    """The first run computes and keeps them, the second finds them; Qlib's engine writes no statistics."""
    first, second = (runs.metadata(name)["features"] for name in ("fast", "again"))
    assert runs.metadata("qlib")["features"] is None
    assert (first["engine"], first["cache"], first["columns"]) == ("fast", "kept for other runs", 159)
    assert (first["columns_by_qlib"], first["instruments_by_qlib"]) == ([], [])
    assert second["cache"] == "taken from the cache"
    assert "taken from the cache" in runs.log(run_id="again")
    for name, became in (("fast", "kept for other runs"), ("again", "taken from the cache")):
        assert f"binned data: train {became}, valid {became}\n" in runs.log(run_id=name)
    assert "binned data" not in runs.log(run_id="qlib")
    assert [path.name for path in (runs.mount / FEATURES_CACHE).iterdir()] != []


@pytest.mark.parametrize("given", ["20G", "-1", "1.5", "\u0662"])
def test_invalid_cache_limit_is_refused(runs: LocalVolume, monkeypatch: pytest.MonkeyPatch, given: str):
    """In one sentence before anything is computed, under plain qrun too; a valid number is passed on."""
    fault = f'{ENV_LIMIT} is "{given}"; it must be a whole number of bytes'
    with pytest.raises(StageError, match=fault):
        limit_for_children({ENV_LIMIT: given})
    assert limit_for_children({ENV_LIMIT: "0", "other": "1"}) == {ENV_LIMIT: "0"}
    assert limit_for_children({ENV_LIMIT: ""}) == {}
    if given == "20G":
        runs.stage("download", "limited")
        done = runs.stage("qrun", "limited", **{ENV_LIMIT: given})
        assert done.returncode == ExitCode.BAD_CONFIG, done.stderr
        assert f'{ENV_LIMIT} is "20G"; it must be' in done.stderr
        assert "Traceback" not in done.stderr
    monkeypatch.setenv(ENV_CACHE, str(runs.mount / FEATURES_CACHE))
    monkeypatch.setenv(ENV_LIMIT, given)
    with pytest.raises(StageError, match=fault):
        MatrixStore.from_environ()


def test_workflow_names_its_handler(runs: LocalVolume):
    """By class path, so that the file alone shows the engine; another engine gives another hash."""
    texts = [(runs.folder(name) / "workflow.yaml").read_text() for name in ENGINES]
    assert "class: QlibAlpha158\n        module_path: qlib_shadow_runner.plugins.handlers\n" in texts[0]
    assert "class: Alpha158\n        module_path: qlib_shadow_runner.plugins.handlers\n" in texts[1]
    assert runs.metadata("fast")["config_hash"] == runs.metadata("again")["config_hash"]
    assert runs.metadata("qlib")["config_hash"] != runs.metadata("fast")["config_hash"]


def test_plain_qrun_runs_the_same_workflow(runs: LocalVolume, tmp_path: Path):
    """Without a stage there is no cache and no statistics file, and the predictions are the same."""
    environ = child_environment(os.environ, threads=2, scratch=str(tmp_path))
    assert not {ENV_CACHE, ENV_REPORT} & environ.keys()
    command = [sys.executable, "-m", "qlib.cli.run", str(runs.folder("fast") / "workflow.yaml")]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "features: 159 columns" in done.stdout
    [found] = tmp_path.glob("mlruns/*/*/artifacts/pred.pkl")
    theirs = artifacts(runs, "qlib")["pred.pkl"]
    assert np.asarray(pd.read_pickle(found)).tobytes() == np.asarray(theirs).tobytes()


def test_live_scores_are_those_of_plain_qrun_that_learns_through_the_last_known_label(
    runs: LocalVolume, tmp_path: Path
):
    """With the rounds that the evaluation found; the other days' signals are the evaluated model's."""
    recorded = artifacts(runs, "fast")
    workflow: Any = read_document((runs.folder("fast") / "workflow.yaml").read_text())
    live, task = workflow["live_model"], workflow["task"]
    trained = (runs.folder("fast") / "model/live_model.txt").read_text()
    task["dataset"]["kwargs"]["segments"] = {
        "train": live["train"],
        "valid": live["train"],
        "test": live["days"],
    }
    task["model"]["kwargs"] |= {"num_boost_round": trained.count("Tree="), "early_stopping_rounds": 10_000}
    task["record"] = [{"class": "SignalRecord", "module_path": "qlib.workflow.record_temp"}]
    path = tmp_path / "longer.yaml"
    path.write_text(json.dumps(workflow, default=str))
    environ = child_environment(os.environ, threads=2, scratch=str(tmp_path))
    command = [sys.executable, "-m", "qlib.cli.run", str(path)]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    [found] = tmp_path.glob("mlruns/*/*/artifacts/pred.pkl")
    pd.testing.assert_frame_equal(pd.read_pickle(found), recorded["live_pred.pkl"], check_exact=True)
    signals = pd.read_parquet(runs.folder("fast") / "signals_ranked.parquet")
    scores = pd.Series(signals["score"].to_numpy(), [pd.to_datetime(signals["date"]), signals["instrument"]])
    days = scores.index.get_level_values(0)
    of_live_days = days >= live["days"][0]
    assert set(days[of_live_days].strftime("%Y-%m-%d")) == {*live["days"]}
    for part, of in ((scores[of_live_days], "live_pred.pkl"), (scores[~of_live_days], "pred.pkl")):
        assert part.to_numpy().tobytes() == recorded[of]["score"].reindex(part.index).to_numpy().tobytes()

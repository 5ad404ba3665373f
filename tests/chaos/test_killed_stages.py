"""A run that is killed, wherever and however, is completed by the next attempt, byte for byte.

Every named point of the qrun stage comes from one list, so that a new one cannot be forgotten. One attempt
dies at a point and the next goes on from there. QLIB_SHADOW_CHAOS_ROUNDS asks for more random instants,
and for every way to die at every point, of which the others are a sample.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from local_stages import OUTPUTS, RUNNER, LocalVolume, kill_with_children
from qlib_shadow_runner.contract import ExitCode
from qlib_shadow_runner.crash_points import ENV_FAULT, QrunPoint

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = int(os.environ.get("QLIB_SHADOW_CHAOS_ROUNDS", "2"))
THOROUGH = "QLIB_SHADOW_CHAOS_ROUNDS" in os.environ
POINTS = list(QrunPoint)
IN_THE_STAGE = [QrunPoint.TRAINED, QrunPoint.TRAINED_RECORDED, *POINTS[POINTS.index(QrunPoint.EXPORTED) :]]
"""Fault points of the stage process itself; the others are in its child processes."""
MADE = [QrunPoint.MODEL_MADE, QrunPoint.BACKTEST_MADE, QrunPoint.EXPORT_MADE]
WRITING = [
    QrunPoint.MODEL_WRITTEN,
    QrunPoint.ANALYSIS_WRITTEN,
    QrunPoint.EXPORT_SIGNALS,
    QrunPoint.EXPORT_SUMMARY,
]
A_SAMPLE = [
    QrunPoint.MODEL_KEPT,
    QrunPoint.LIVE_KEPT,
    QrunPoint.PREDICTION_KEPT,
    QrunPoint.ANALYSIS_WRITTEN,
    QrunPoint.BACKTEST_KEPT,
    QrunPoint.TRAINED_RECORDED,
    QrunPoint.EXPORT_TABLES,
    QrunPoint.DESCRIBED,
    QrunPoint.CLEARED,
]
CUTS = POINTS if THOROUGH else A_SAMPLE
NOT_AFTER_A_WRITE = [point for point in POINTS if not point.endswith(("-kept", "-recorded"))]
"""A write that finishes although the stage was stopped never reaches its next point."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> LocalVolume:
    """Return the volume of an undisturbed run."""
    volume = LocalVolume(tmp_path_factory.mktemp("undisturbed"))
    volume.run()
    assert volume.faults() == []
    return volume


@pytest.fixture
def volume(tmp_path: Path) -> LocalVolume:
    """Return a volume with the dataset."""
    volume = LocalVolume(tmp_path)
    assert volume.stage("download").returncode == 0
    return volume


def no_partial_files(volume: LocalVolume, undisturbed: LocalVolume) -> None:
    """Check that every visible file is whole and final, and that the run is not marked complete."""
    final = undisturbed.outputs()
    assert [name for name, content in volume.outputs().items() if content != final[name]] == []
    assert volume.metadata()["status"] != "complete"


def is_completed(volume: LocalVolume, undisturbed: LocalVolume) -> None:
    """Check that the next attempt completes the run with the same outputs as an undisturbed run."""
    done = volume.stage("qrun")
    assert done.returncode == 0, done.stdout + done.stderr
    assert volume.faults() == []
    assert volume.outputs() == undisturbed.outputs()
    assert set(volume.outputs()) == set(OUTPUTS)
    assert volume.running() == []
    assert not list(volume.folder().rglob(".*.tmp"))
    assert not list((volume.home / "work").iterdir())
    assert not (volume.folder() / ".checkpoints").exists()


def test_power_cut_at_every_point_costs_one_step(volume: LocalVolume, undisturbed: LocalVolume):
    """Everything dies at once, many times in a row; what was kept is never done again."""
    for point in CUTS:
        assert volume.stop_at(point).returncode == -signal.SIGKILL
        no_partial_files(volume, undisturbed)
        assert len(volume.running()) <= 1, "the attempt before the last was not ended by the last"
    is_completed(volume, undisturbed)
    trained = CUTS.index(QrunPoint.MODEL_KEPT) + 1
    refitted = CUTS.index(QrunPoint.LIVE_KEPT) + 1
    predicted = CUTS.index(QrunPoint.PREDICTION_KEPT) + 1
    assert volume.log().count("Training until validation scores") == trained
    assert volume.log().count("live: learning once more") == refitted - trained
    assert volume.log("stderr.log").count("Loading data Done") == predicted
    assert volume.metadata()["features"]["attempt"] == predicted, "those after it asked for none"


def test_child_out_of_memory_is_reported_and_recovered(volume: LocalVolume, undisturbed: LocalVolume):
    """The kernel kills only the child; the stage reports why, and leaves no MLflow run running."""
    for point in [one for one in POINTS if one not in IN_THE_STAGE] if THOROUGH else MADE:
        done = volume.stage("qrun", **{ENV_FAULT: point})
        assert (done.returncode, volume.result()["reason"]) == (ExitCode.OUT_OF_MEMORY, "OutOfMemory"), point
        no_partial_files(volume, undisturbed)
        assert volume.running() == []
    is_completed(volume, undisturbed)


def test_stopped_stage_finishes_its_current_write(volume: LocalVolume, undisturbed: LocalVolume):
    """Exit code 143, marked as interrupted, nothing left running; the current write is finished."""
    for point in NOT_AFTER_A_WRITE if THOROUGH else WRITING:
        done = volume.stop_at(point, terminate=True)
        assert done.returncode == ExitCode.INTERRUPTED, f"{point}:\n{done.stdout}"
        assert (volume.result()["reason"], volume.metadata()["status"]) == ("Interrupted", "interrupted")
        no_partial_files(volume, undisturbed)
        assert volume.running() == []
        if point.endswith("-written"):
            step = point.removesuffix("-written")
            assert list(volume.folder().glob(f".checkpoints/*/{step}.json"))
        if point == QrunPoint.EXPORT_SIGNALS:
            assert volume.outputs() == undisturbed.outputs()
    is_completed(volume, undisturbed)


def test_power_cuts_at_random_instants_are_recovered(tmp_path: Path, undisturbed: LocalVolume):
    """Over the whole run, download included; a run that completes is followed by a new one."""
    dice = random.Random(11)
    begun = time.monotonic()
    LocalVolume(tmp_path / "measured").run()
    duration = time.monotonic() - begun
    volumes = [LocalVolume(tmp_path / "0")]
    both = ["sh", "-c", '"$@" download && exec "$@" qrun', "sh", *RUNNER]
    for _ in range(ROUNDS):
        volume = volumes[-1]
        process = volume.start(both)
        try:
            process.communicate(timeout=dice.uniform(0.0, duration))
        except subprocess.TimeoutExpired:
            kill_with_children(process.pid)
            process.communicate()
        if not (volume.folder() / "RUN_METADATA.json").exists():
            continue  # cut before it started
        if volume.metadata()["status"] == "complete":  # though it may have been cut while writing the catalog
            assert volume.outputs() == undisturbed.outputs()
            volumes.append(LocalVolume(tmp_path / str(len(volumes))))
        else:
            assert process.returncode != 0
            no_partial_files(volume, undisturbed)
    assert volumes[-1].stage("download").returncode == 0
    is_completed(volumes[-1], undisturbed)

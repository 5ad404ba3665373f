"""Nights of one recipe: the first trains, the next ones keep its model, and no crash changes that."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from datetime import date, timedelta
from typing import TYPE_CHECKING

import lightgbm
import numpy as np
import pytest

from local_stages import LocalVolume
from qlib_shadow_runner.cache.places import FEATURES_CACHE
from qlib_shadow_runner.catalog.followup import FILE, SCHEMA
from qlib_shadow_runner.catalog.tables import write_table
from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.crash_points import ModelPoint
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.stages.keeping import passes
from qlib_shadow_runner.storage.listed_files import hash_files, sha256_of
from qlib_shadow_runner.workflow.parsed import parse

if TYPE_CHECKING:
    from pathlib import Path

TRAINING = "Training until validation scores"
NIGHTS = {"night-1": "2020-02-03", "night-2": "2020-02-04", "night-3": "2020-02-06"}


def ask(volume: LocalVolume, night: str) -> None:
    """Let the volume's next run be this night's."""
    volume.spec = {
        "series": "us",
        "dataset": {"source": {"synthetic": {"symbols": 10, "days": 300, "until": NIGHTS[night]}}},
        "workflow": {
            "window": {"train": "122d", "valid": "30d", "test": "40d"},
            "model": {"num_boost_round": 12, "min_child_samples": 5},
            "retrain": {"everyDays": 3, "orIf": "decayed"},
        },
    }


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> LocalVolume:
    """Run the first night on a volume that nothing changes."""
    volume = LocalVolume(tmp_path_factory.mktemp("nights"))
    ask(volume, "night-1")
    done = volume.run("night-1")
    assert "no model of an earlier run is kept; this run trains" in done.stdout
    return volume


def second_night(first: LocalVolume, home: Path) -> LocalVolume:
    """Return a copy of the volume on which the second night begins."""
    shutil.copytree(first.mount, home / "data", symlinks=True)
    volume = LocalVolume(home)
    ask(volume, "night-2")
    assert volume.stage("download", "night-2").returncode == 0
    return volume


@pytest.fixture
def volume(first: LocalVolume, tmp_path: Path) -> LocalVolume:
    """Return a volume of the test's own on which the second night begins."""
    return second_night(first, tmp_path)


@pytest.fixture(scope="module")
def killed(first: LocalVolume, tmp_path_factory: pytest.TempPathFactory) -> LocalVolume:
    """Return a volume whose second night was killed at each point of keeping the model."""
    volume = second_night(first, tmp_path_factory.mktemp("killed"))
    for point in (ModelPoint.CHOSEN, ModelPoint.COPIED, ModelPoint.RENDERED, ModelPoint.SEEDED):
        volume.stop_at(point, "night-2")
    newer = volume.folder("newer")
    shutil.copytree(volume.folder("night-1"), newer)
    document = json.loads((newer / "model/MODEL.json").read_text()) | {"data_end": NIGHTS["night-2"]}
    (newer / "model/MODEL.json").write_text(json.dumps(document))
    metadata = volume.metadata("night-1") | {"run_id": "newer"}
    metadata["outputs"]["model/MODEL.json"] = sha256_of(newer / "model/MODEL.json")
    (newer / "RUN_METADATA.json").write_text(json.dumps(metadata))
    done = volume.stage("qrun", "night-2")
    assert done.returncode == 0, done.stderr
    return volume


def test_a_run_leaves_its_model(first: LocalVolume):
    """In its own text, with how it was made, and among the outputs that verify holds."""
    folder = first.folder("night-1")
    document = json.loads((folder / "model/MODEL.json").read_text())
    assert document["trained_by"] == "night-1"
    assert document["data_end"] == NIGHTS["night-1"]
    assert document["series"] == first.metadata("night-1")["series"] == "us"
    assert document["recipe"]["window"] == {"train": "122d", "valid": "30d", "test": "40d"}
    outputs = first.metadata("night-1")["outputs"]
    assert {"model/model.txt", "model/MODEL.json"} <= outputs.keys()
    assert outputs["model/model.txt"] == sha256_of(folder / "model/model.txt")
    assert first.faults("night-1") == []


def promise(volume: LocalVolume, mean: float) -> None:
    """Let the first night have promised a daily ICIR of 0.6, and half a year of live ICs have this mean.

    The night's own test is too short for a promise, and has no live days.
    """
    metadata = volume.metadata("night-1")
    metadata["decay"] |= {"promised_ic": 0.06, "promised_icir": 0.6, "promised_days": 750}
    (volume.folder("night-1") / "RUN_METADATA.json").write_text(json.dumps(metadata))
    noise = np.random.default_rng(2).normal(size=120)
    row = {**dict.fromkeys(SCHEMA.names), "run_id": "night-1", "live": True, "horizon": 1}
    row["signals_sha256"] = metadata["signals_sha256"]
    rows = [
        {**row, "date": date(2019, 1, 1) + timedelta(day), "ic": mean + 0.1 * one}
        for day, one in enumerate((noise - noise.mean()) / noise.std())
    ]
    write_table(volume.folder("catalog") / FILE, rows, SCHEMA)


def test_a_run_trains_where_the_model_has_decayed(volume: LocalVolume):
    """Although it is young enough to be kept: its live IC is half of what was promised."""
    promise(volume, 0.03)
    done = volume.stage("qrun", "night-2")
    assert done.returncode == 0, done.stderr
    assert (
        "the model of the run night-1 has decayed: its live IC is 0.0300 on 120 days, and 0.0600 was "
        "promised; this run trains" in done.stdout
    )
    assert TRAINING in done.stdout
    metadata, result = volume.metadata("night-2"), volume.result("night-2")
    assert (metadata["model_kept"], metadata["model_trained_by"]) == (False, "night-2")
    assert result["message"].endswith(" · trained, since the model of the run night-1 had decayed")
    assert (metadata["decay"]["state"], metadata["decay"]["gave_up"]) == ("unknown", "night-1")
    assert metadata["decay"]["promised_days"] == 38
    assert volume.faults("night-2") == []


def test_the_next_nights_keep_the_model_until_it_is_old(volume: LocalVolume):
    """The third night is the third trading day, and trains."""
    promise(volume, 0.06)
    before = hash_files(volume.folder("night-1"))
    done = volume.stage("qrun", "night-2")
    assert done.returncode == 0, done.stderr
    assert TRAINING not in done.stdout
    assert "the model of the run night-1 is kept: it has learnt from days to" in done.stdout
    assert "and 1 trading days have come since its data ended" in done.stdout
    metadata = volume.metadata("night-2")
    assert metadata["model_kept"] is True
    assert (metadata["model_trained_by"], metadata["model_age_days"]) == ("night-1", 1)
    assert metadata["decay"] == {
        "state": "holds",
        "live_ic": pytest.approx(0.06),
        "days": 120,
        "needed_days": 20,
        "promised_ic": 0.06,
        "promised_icir": 0.6,
        "promised_days": 750,
        "statistic": pytest.approx(metadata["decay"]["statistic"]),
        "limit": pytest.approx(metadata["decay"]["limit"]),
        "why": None,
    }
    drift = metadata["drift"]
    assert (drift["state"], drift["limits"]) == ("unknown", dict.fromkeys(drift["limits"]))
    assert {"feature", "value"} == drift["worst"][0].keys()
    assert min(drift["features"], drift["scores"]) > 0
    found = volume.result("night-2")["model"]
    assert found == {
        "recipe": metadata["recipe_sha256"][:12],
        "trainedBy": "night-1",
        "trainedThrough": metadata["model_trained_through"],
        "ageDays": 1,
        "kept": True,
        "liveIc": pytest.approx(0.06),
        "drift": "unknown",
        "decay": "holds",
    }
    assert volume.result("night-2")["message"].endswith(
        " · live model to 2020-01-30 · with the model of the run night-1, 1 trading day old"
    )
    earlier = volume.metadata("night-1")
    for name in ("live", "live_model_trained_through", "live_model_sha256", "model_sha256"):
        assert metadata[name] == earlier[name] is not None
    assert (earlier["live"], earlier["live_days"]) == ("Refit", ["2020-01-31", "2020-02-03"])
    assert (metadata["live_model_trained_through"], metadata["live_days"][0]) == ("2020-01-30", "2020-02-03")
    assert -1 < metadata["live_rank_correlation"] < 1
    kept = volume.folder("night-2") / "model"
    assert hash_files(kept) == hash_files(volume.folder("night-1") / "model")
    assert {path.stat().st_nlink for path in kept.iterdir()} == {1}
    workflow = parse((volume.folder("night-2") / "workflow.yaml").read_text())
    names = ("model.txt", "live_model.txt", "summary.json", "MODEL.json")
    assert workflow.kept_model == {name: before[f"model/{name}"] for name in names}
    assert workflow.live_model == {"days": [NIGHTS["night-1"], NIGHTS["night-2"]]}
    assert (
        "| Kept | trained by the run `night-1`" in volume.outputs("night-2")["backtest_summary.md"].decode()
    )
    assert "Kept model" in (volume.folder("night-2") / "report.html").read_text()
    assert volume.faults("night-2") == []
    assert hash_files(volume.folder("night-1")) == before
    # The run that trained may go: what it left is whole in the other.
    shutil.rmtree(volume.folder("night-1"))
    ask(volume, "night-3")
    done = volume.run("night-3")
    assert (
        "the model of the run night-2 is not kept: it is 3 trading days old, and every 3 a run trains"
        in done.stdout
    )
    assert TRAINING in done.stdout
    assert volume.metadata("night-3")["model_trained_by"] == "night-3"
    assert volume.metadata("night-3")["model_data_end"] == NIGHTS["night-3"]
    assert volume.metadata("night-3")["model_not_kept"] is None
    assert volume.faults("night-3") == []


def test_of_a_look_at_the_past_nothing_is_refitted(volume: LocalVolume):
    """Every outcome is known, and the summary says so."""
    volume.spec["workflow"]["window"]["back"] = "5d"
    volume.run("past")
    assert "the model is not refitted: test ends before the days whose outcome" in volume.log(run_id="past")
    metadata = volume.metadata("past")
    assert (metadata["live"], metadata["live_model_trained_through"]) == ("Evaluated", None)
    assert "live" not in volume.result("past")["message"]
    summary = volume.outputs("past")["backtest_summary.md"].decode()
    assert "| Live signal | by the evaluated model: test ends before the days whose outcome is not" in summary
    assert not (volume.folder("past") / "tables/live_predictions.parquet").exists()
    assert not (volume.folder("past") / "model/live_model.txt").exists()
    assert volume.faults("past") == []


def test_killed_at_every_point_a_night_keeps_the_model_that_it_chose(killed: LocalVolume):
    """Even where a newer model has appeared meanwhile."""
    log = killed.log(run_id="night-2")
    assert log.count("the model of the run night-1 is kept") == 3
    assert TRAINING not in log
    assert killed.faults("night-2") == []


def test_signals_are_those_of_features_from_the_trainers_first_day(killed: LocalVolume, volume: LocalVolume):
    """Killed and with a cache, or at once and without one; its own window would begin a day later."""
    shutil.rmtree(volume.mount / FEATURES_CACHE)
    done = volume.stage("qrun", "night-2")
    assert done.returncode == 0, done.stderr
    assert (
        killed.outputs("night-2")["signals_ranked.parquet"]
        == volume.outputs("night-2")["signals_ranked.parquet"]
    )
    anchor = volume.metadata("night-1")["features_anchor"]
    assert volume.metadata("night-2")["features_anchor"] == anchor
    workflow = parse((volume.folder("night-2") / "workflow.yaml").read_text())
    assert str(workflow.handler["kwargs"]["start_time"]) == anchor
    assert str(workflow.segments["train"][0]) > anchor
    computed, read = (one.metadata("night-2")["features"] for one in (volume, killed))
    assert computed["rows"] == read["rows"] < volume.metadata("night-1")["features"]["rows"] / 2
    assert (computed["new_days"], read["cache"]) == (None, "kept for other runs")


def test_killed_when_its_model_is_left_a_night_leaves_it_again(volume: LocalVolume):
    """Without training twice."""
    shutil.rmtree(volume.folder("night-1"))
    volume.stop_at(ModelPoint.LEFT, "night-2")
    (volume.folder("night-2") / "model/model.txt").write_text("half")
    done = volume.stage("qrun", "night-2")
    assert done.returncode == 0, done.stderr
    assert "an earlier attempt finished training" in done.stdout
    assert volume.faults("night-2") == []


def forge(volume: LocalVolume, text: str) -> None:
    """Exchange the first night's model, with hashes that fit."""
    folder = volume.folder("night-1")
    (folder / "model/model.txt").write_text(text)
    digest = sha256_of(folder / "model/model.txt")
    document = json.loads((folder / "model/MODEL.json").read_text())
    document["files"]["model.txt"] = digest
    (folder / "model/MODEL.json").write_text(json.dumps(document))
    metadata = volume.metadata("night-1")
    listed = sha256_of(folder / "model/MODEL.json")
    metadata["outputs"] |= {"model/model.txt": digest, "model/MODEL.json": listed}
    (folder / "RUN_METADATA.json").write_text(json.dumps(metadata))


def test_a_model_that_predicts_from_other_features_is_given_up(volume: LocalVolume):
    """Nothing says so before it predicts; the next attempt trains."""
    data = lightgbm.Dataset(np.arange(200.0).reshape(100, 2), np.arange(100.0))
    forge(volume, lightgbm.train({"verbosity": -1}, data, 2).model_to_string())
    failed = volume.stage("qrun", "night-2")
    assert volume.result("night-2")["reason"] == Reason.TRAINING_FAILED
    assert (
        "warning: with the model of the run night-1 this attempt failed; the next one trains" in failed.stderr
    )
    assert volume.stage("qrun", "night-2").returncode == 0
    assert volume.metadata("night-2")["model_trained_by"] == "night-2"
    assert volume.faults("night-2") == []


def test_a_forged_model_is_named_and_the_run_trains(volume: LocalVolume):
    """Its hashes fit, but LightGBM cannot read it: what another run leaves is input."""
    forge(volume, "tree\nversion=v4\n")
    done = volume.stage("qrun", "night-2")
    assert done.returncode == 0, done.stderr
    assert "cannot be kept: model.txt cannot be followed: the head has a line" in done.stderr
    assert TRAINING in done.stdout
    assert volume.metadata("night-2")["model_trained_by"] == "night-2"
    assert "model.txt cannot be followed" in volume.metadata("night-2")["model_not_kept"]
    assert volume.faults("night-2") == []


def test_verify_holds_the_kept_model(killed: LocalVolume):
    """To its hashes, to the workflow, and it says where the model cannot be made again."""
    folder = killed.folder("night-2")
    text, workflow = folder / "model/model.txt", folder / "workflow.yaml"
    before, asked = text.read_bytes(), workflow.read_text()
    text.write_bytes(before.replace(b"tree", b"tr\xc3\xaae", 1))
    assert f"✗ model: {text} is not what was written (its sha256 differs)" in killed.faults("night-2")
    text.write_bytes(before)
    workflow.write_text(asked.replace(hashlib.sha256(before).hexdigest(), "0" * 64))
    assert any(line.startswith("✗ model: model/ is of night-1") for line in killed.faults("night-2"))
    workflow.write_text(asked)
    told = folder / "RUN_METADATA.json"
    said = told.read_text()
    for name, other, fault in (
        (
            "live_rank_correlation",
            0.5,
            "✗ model: RUN_METADATA.json says live_rank_correlation 0.5; the tables",
        ),
        (
            "live",
            "Evaluated",
            "✗ model: workflow.yaml, RUN_METADATA.json and the tables do not agree whether",
        ),
        ("live_model_sha256", "0" * 64, "✗ model: RUN_METADATA.json does not say of the live model what"),
        ("model_sha256", None, "✗ model: RUN_METADATA.json does not say of the live model what"),
        ("live_model_trained_through", "2020-01-31", "✗ model: RUN_METADATA.json does not say of the live"),
    ):
        told.write_text(json.dumps(json.loads(said) | {name: other}))
        assert any(line.startswith(fault) for line in killed.faults("night-2")), name
    told.write_text(said)
    assert killed.faults("night-2") == []
    document = json.loads((folder / "model/MODEL.json").read_text())
    shutil.rmtree(killed.mount / "qlib/qlib_data" / document["dataset"])
    lines = [str(line) for line in killed.lines("night-2")]
    assert any(f"it cannot be rebuilt, since {document['dataset']} was removed" in line for line in lines)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EIO, "broken"), True),
        (FileNotFoundError(errno.ENOENT, "gone"), False),
        (PermissionError(errno.EACCES, "another user's"), False),
        (StageError(Reason.INTERRUPTED, "stopped"), True),
        (StageError(Reason.OUTPUT_INCOMPLETE, "no model"), False),
    ],
)
def test_a_fault_of_the_volume_is_no_fault_of_the_model(error: Exception, *, passing: bool):
    """The attempt ends, and the next one keeps the model; a choice to train would be for good."""
    assert passes(error) is passing

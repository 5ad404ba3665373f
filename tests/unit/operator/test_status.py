"""The status: what it shows of a complete run, how it is printed, and that its size is bounded."""

from __future__ import annotations

import json

from tests.unit.operator.builders import DATASET, METRICS, NOW, Scene, a_run, result

from qlib_shadow_operator.kube.status_document import merge_patch, render_status
from qlib_shadow_operator.runs.model import Termination
from qlib_shadow_operator.runs.names import ConditionType
from qlib_shadow_operator.runs.print_columns import summarize
from qlib_shadow_runner.contract import Stage

complete = (
    a_run().seen().succeeded(Stage.DOWNLOAD).seen(minutes=1).succeeded(Stage.QRUN).decide(minutes=2).status
)


def test_status_of_a_complete_run():
    """Exact figures, rounded figures, paths and hashes."""
    document = render_status(complete)
    assert document["metrics"] == METRICS
    assert document["dataset"] == DATASET
    assert document["configHash"] == "c0ffee"
    assert document["imageID"] == "sha256:1"
    assert document["artifactPath"] == "/data/artifacts/trading-ops/qlib-shadow/demo-a1b2c3d4"
    assert document["startTime"] == "2026-11-21T10:00:00Z"
    assert document["completionTime"] == "2026-11-21T10:02:00Z"
    assert [one["state"] for one in document["stages"]] == ["Succeeded", "Succeeded"]
    assert {c["type"]: c["status"] for c in document["conditions"]} == {
        "DatasetReady": "True",
        "Suspended": "False",
        "Complete": "True",
        "Failed": "False",
    }


def test_figures_are_rounded_for_people():
    """No column is empty."""
    assert summarize(None, DATASET, METRICS) == {
        "stage": "-",
        "dataEnd": "2024-10-17",
        "ic": "0.041",
        "rankIc": "0.044",
        "annualizedReturn": "8.9%",
        "maxDrawdown": "-11.2%",
    }
    assert set(summarize("download", {}, {}).values()) == {"download", "-"}


def test_a_condition_keeps_its_time_until_its_status_changes():
    """Reason and message may change meanwhile."""
    begun = a_run().seen()
    later = begun.running(Stage.DOWNLOAD).decide(minutes=5).status
    assert [c.last_transition_time for c in later.conditions] == [NOW] * 4
    assert later.conditions[2].message == "stage download: Running"


def test_conditions_of_a_waiting_run_say_why_it_waits():
    """`kubectl wait` and dashboards show conditions, not stages."""
    found = a_run().seen().pod(Stage.DOWNLOAD, unschedulable="0/1 nodes are available.").decide(minutes=1)
    sentence = (
        "stage download: Waiting: no node can take the pod: 0/1 nodes are available. "
        "Lower stages.download.resources, correct the nodeSelector, tolerations, affinity or "
        "topologySpreadConstraints of the chart's runs, or add a node"
    )
    for kind in (ConditionType.COMPLETE, ConditionType.FAILED):
        condition = found.status.condition(kind)
        assert condition is not None
        assert (condition.status, condition.reason, condition.message) == (False, "Unschedulable", sentence)


def test_run_whose_folder_is_taken_shows_nothing_of_the_other_run():
    """Neither its folder nor its log."""
    message = result(Stage.DOWNLOAD, "RunFolderTaken", "/data/x belongs to another run. Move it away.")
    status = a_run().seen().failed(Stage.DOWNLOAD, 10, message).decide(minutes=1).status
    assert status.artifact_path is None
    assert status.stages[0].message == (
        "/data/x belongs to another run. Move it away. "
        "Log: kubectl logs -n research job/demo-a1b2c3d4-download"
    )


def test_edit_of_a_finished_run_is_observed():
    """Only observedGeneration changes."""
    scene = a_run().seen().failed(Stage.DOWNLOAD, 10).seen(minutes=1).spec(ttl_seconds_after_finished=9999)
    decision = scene.decide(minutes=2)
    change = merge_patch(render_status(scene.run.status), render_status(decision.status))
    assert change == {"observedGeneration": 2}


def test_run_id_is_frozen_once_the_run_starts():
    """The status keeps the folder's name."""
    suspended = a_run(suspend=True, run_id="one").seen()
    assert suspended.spec(run_id="two").decide().status.run_id == "two"
    assert a_run(run_id="one").seen().spec(run_id="two").decide().status.run_id == "one"


def test_size_of_the_status_is_bounded():
    """Ten thousand runs fit into etcd: no status has more than 8,000 characters."""
    noise = "ä" * 20_000
    loud = result(
        Stage.DOWNLOAD, noise, noise, dataset={"path": noise, "resolvedPath": noise, "source": noise}
    )
    scene = a_run(name="n" * 63).seen()
    for message in (noise, loud):
        failed = scene.failed(Stage.DOWNLOAD, 1, message)
        assert size(failed) < 8_000
    waiting = scene.pod(Stage.DOWNLOAD, waiting_reason="ErrImagePull", waiting_message=noise)
    assert size(waiting) < 8_000


def size(scene: Scene) -> int:
    """Return the number of characters of the status."""
    return len(json.dumps(render_status(scene.decide(minutes=1).status), ensure_ascii=False))


def test_an_event_is_posted_once_for_each_transition():
    """Starting, succeeding, starting, succeeding, complete."""
    scene = a_run()
    notes = [note.reason for note in scene.decide().notes]
    scene = scene.seen().succeeded(Stage.DOWNLOAD)
    notes += [note.reason for note in scene.decide(minutes=1).notes]
    scene = scene.seen(minutes=1).running(Stage.QRUN)
    notes += [note.reason for note in scene.decide(minutes=2).notes]
    scene = scene.seen(minutes=2).succeeded(Stage.QRUN)
    notes += [note.reason for note in scene.decide(minutes=3).notes]
    assert notes == ["StageStarted", "StageSucceeded", "StageStarted", "StageSucceeded", "Complete"]


def test_patch_is_minimal():
    """RFC 7386: null removes, objects merge, lists are replaced."""
    old = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": 0}
    new = {"a": 1, "b": {"c": 1, "d": 3}, "e": [1, 2]}
    assert merge_patch(old, new) == {"b": {"d": 3}, "e": [1, 2], "f": None}
    assert merge_patch(new, new) == {}


def test_the_newest_attempt_counts():
    """An old failed attempt does not fail a stage that succeeded later."""
    scene = a_run().seen().attempt_failed(Stage.DOWNLOAD, 13)
    end = Termination(0, "Completed", result(Stage.DOWNLOAD), finished_at=NOW)
    done = scene.pod(Stage.DOWNLOAD, "pod-2", phase="Succeeded", termination=end)
    status = done.decide(minutes=1).status
    assert status.stages[0].state == "Succeeded"
    assert status.stages[0].attempts == 2


def test_run_that_names_its_version_has_one_stage():
    """The training reports the dataset for the condition, the figures and the printed column."""
    scene = a_run(question={"dataset": {"version": "3f9c0a1b2c3d"}}).seen()
    begun, done = scene.decide().status, scene.succeeded(Stage.QRUN).decide(minutes=1).status
    assert [one.name for one in begun.stages] == [one.name for one in done.stages] == [Stage.QRUN]
    before, after = (one.condition(ConditionType.DATASET_READY) for one in (begun, done))
    assert before is not None
    assert (before.status, before.reason) == (False, "NotCheckedYet")
    assert before.message == "the qrun stage has not checked the dataset yet"
    assert after is not None
    assert (after.status, after.reason) == (True, "DatasetVerified")
    assert begun.summary["dataEnd"] == "-"
    assert done.summary["dataEnd"] == done.dataset["calendarEnd"] == "2024-10-17"


def test_missing_version_is_a_dataset_that_is_not_ready():
    """With the reason of the stage that needed it."""
    message = result(Stage.QRUN, "DatasetMissing", "there is no version 3f9c0a1b2c3d")
    scene = a_run(question={"dataset": {"version": "3f9c0a1b2c3d"}}).seen().failed(Stage.QRUN, 11, message)
    found = scene.decide(minutes=1).status.condition(ConditionType.DATASET_READY)
    assert found is not None
    assert (found.status, found.reason) == (False, "DatasetMissing")
    assert found.message == "stage qrun failed; see the condition Failed"

"""Every failure says cause, place and remedy: the sentences, verbatim."""

# ruff: noqa: E501 - a table reads best in rows
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.operator.builders import Scene, a_run, result

if TYPE_CHECKING:
    from qlib_shadow_operator.core.model import Status

from qlib_shadow_operator.core.names import ConditionType
from qlib_shadow_operator.core.reasons import MESSAGE_MAX, shorten
from qlib_shadow_runner.contract import Stage

LOG = (
    "Log: /data/artifacts/trading-ops/qlib-shadow/demo-a1b2c3d4/stderr.log, "
    "or: kubectl logs -n research job/demo-a1b2c3d4-download"
)
begun = a_run().seen().job(Stage.DOWNLOAD, active=1)

SENTENCES: dict[str, tuple[Scene, float, str]] = {
    "the runner's words come with the place of the log": (
        begun.failed(
            Stage.DOWNLOAD, 10, result(Stage.DOWNLOAD, "InvalidSpec", "spec.x is wrong. Remove it.")
        ),
        1,
        f"spec.x is wrong. Remove it. {LOG}",
    ),
    "out of memory": (
        begun.failed(Stage.DOWNLOAD, 137, kill="OOMKilled"),
        1,
        (
            "stage download was killed for using more memory than its limit of 2Gi. Raise "
            f"stages.download.resources.limits.memory, or use fewer instruments or a shorter history. {LOG}"
        ),
    ),
    "unschedulable": (
        begun.pod(Stage.DOWNLOAD, unschedulable="0/1 nodes are available."),
        31,
        (
            "not started after 1800 s: no node can take the pod: 0/1 nodes are available. Lower "
            "stages.download.resources, correct its nodeSelector and tolerations, or add a node"
        ),
    ),
    "claim missing": (
        begun.pod(Stage.DOWNLOAD, unschedulable='persistentvolumeclaim "qlib-shadow-data" not found'),
        31,
        (
            'not started after 1800 s: the PersistentVolumeClaim "qlib-shadow-data" is not in namespace "research". '
            "Create it, or name another one in storage.claimName"
        ),
    ),
    "image": (
        begun.pod(
            Stage.DOWNLOAD, waiting_reason="InvalidImageName", waiting_message="invalid reference format"
        ),
        0,
        (
            'the image "image" cannot be pulled: invalid reference format. Correct spec.image, or name the '
            "registry's credentials in spec.imagePullSecrets"
        ),
    ),
    "no result": (
        begun.succeeded(Stage.DOWNLOAD, "hello"),
        1,
        (
            "stage download ended well but its result cannot be read: it is not JSON. Set spec.image to a "
            f"qlib-runner of the operator's version. {LOG}"
        ),
    ),
    "a log's tail": (
        begun.failed(Stage.DOWNLOAD, 1, "ModuleNotFoundError: No module named 'qlib'\n"),
        1,
        "exit code 1 without a result; the log ends with: ModuleNotFoundError: No module named 'qlib'. "
        + LOG,
    ),
    "deadline, never started": (
        begun.pod(Stage.DOWNLOAD, unschedulable="full").seen().job_failed(Stage.DOWNLOAD, "DeadlineExceeded"),
        1,
        (
            "stage download did not finish within its 3600 s deadline; it never started: no node can take the pod: "
            "full. Lower stages.download.resources, correct its nodeSelector and tolerations, or add a node. Raise "
            f"stages.download.activeDeadlineSeconds, or give the stage more CPU. {LOG}"
        ),
    ),
}


def condition_message(status: Status) -> str:
    """Give the message of the condition Failed."""
    found = status.condition(ConditionType.FAILED)
    assert found is not None
    return found.message


@pytest.mark.parametrize(("scene", "minutes", "sentence"), SENTENCES.values(), ids=SENTENCES.keys())
def test_a_failure_reads_well(scene: Scene, minutes: float, sentence: str):
    """The condition, the stage and the Event say the same."""
    decision = scene.decide(minutes=minutes)
    assert condition_message(decision.status) == sentence
    assert decision.status.stages[0].message == sentence
    assert decision.notes[-1].message == sentence
    assert decision.notes[-1].warning


def test_a_long_message_keeps_both_ends():
    """The cause stands first, the remedy last."""
    text = shorten("cause " + "x" * 5000 + " remedy")
    assert text.startswith("cause ")
    assert text.endswith(" remedy")
    assert len(text) == MESSAGE_MAX


def test_the_place_of_the_log_survives_a_long_message():
    """However much the runner says."""
    scene = begun.failed(Stage.DOWNLOAD, 10, result(Stage.DOWNLOAD, "InvalidSpec", "x" * 3000))
    message = scene.decide(minutes=1).status.stages[0].message
    assert message is not None
    assert message.endswith(LOG)
    assert len(message) <= MESSAGE_MAX

"""Every log line about a run has the run and the stage as fields."""

from __future__ import annotations

import logging

import pytest
from tests.unit.operator.documents import a_run_document
from tests.unit.operator.test_reconcile import KEY, World

from qlib_shadow_operator.kube.cluster import ClusterError, RefusedError

RUN = "research/demo"


def fields(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return run and stage of each line."""
    return [(record.__dict__["run"], record.__dict__["stage"]) for record in caplog.records]


def test_writes_are_logged_with_run_and_stage(caplog: pytest.LogCaptureFixture):
    """The status, then the Job."""
    world = World()
    world.cache.put("runs", world.api.run)
    with caplog.at_level(logging.INFO):
        world.look()
    assert [record.message for record in caplog.records] == [
        "stage_has_no_job: Pending",
        "the Job demo-a1b2c3d4-download exists now",
    ]
    assert fields(caplog) == [(RUN, "download"), (RUN, "download")]


def test_log_line_of_a_failed_run_has_reason_and_sentence(caplog: pytest.LogCaptureFixture):
    """A reader of the log needs no access to the cluster; nothing is said of a Job that was refused."""
    world = World()
    world.cache.put("runs", world.api.run)
    world.api.faults["create_job"] = RefusedError("spec.backoffLimit: x", permanent=True)
    with caplog.at_level(logging.INFO):
        with pytest.raises(RefusedError):
            world.look()
        world.look()
    first, failed = caplog.records
    assert first.message == "stage_has_no_job: Pending"
    assert (failed.levelname, failed.__dict__["reason"]) == ("INFO", "JobRejected")
    assert failed.message == (
        "stage_has_failed: Failed: JobRejected: the API server refuses the Job of stage download: "
        "the chart's runner.stages.download.retries: x. Correct the chart's runner.stages.download.retries"
    )


def test_log_line_of_a_waiting_run_has_reason_and_sentence(caplog: pytest.LogCaptureFixture):
    """At the level of what goes on."""
    world = World()
    world.cache.put("runs", world.api.run)
    world.api.faults["create_job"] = RefusedError("exceeded quota: q")
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            with pytest.raises(RefusedError):
                world.look()
    waiting = caplog.records[-1]
    assert (waiting.levelname, waiting.__dict__["reason"]) == ("INFO", "QuotaExceeded")
    assert waiting.message.startswith(
        'stage_has_no_job: Pending: QuotaExceeded: a ResourceQuota of namespace "research" leaves no room'
    )


def test_failed_event_is_logged_with_run_and_stage(caplog: pytest.LogCaptureFixture):
    """The line is a warning about a run."""
    world = World()
    world.cache.put("runs", world.api.run)
    world.api.faults["post_event"] = ClusterError("busy")
    with caplog.at_level(logging.WARNING):
        world.look()
    assert [record.message for record in caplog.records] == ["an Event could not be posted: busy"]
    assert {run for run, _ in fields(caplog)} == {RUN}


def test_failed_pass_has_log_fields():
    """By the name alone for an unknown run, and with its stage for a known one."""
    world = World()
    world.look()
    assert world.reconciler.about(KEY) == {"run": RUN, "stage": "-"}
    world.cache.put("runs", a_run_document(status={"summary": {"stage": "qrun"}}))
    assert world.reconciler.about(KEY) == {"run": RUN, "runId": "demo-a1b2c3d4", "stage": "qrun"}

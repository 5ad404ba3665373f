"""A node is lost during a run: the attempt is not counted, and the run continues on another node.

The node is simulated, because the only real one is needed by other tests. The consequences are real: the
taint, the eviction, the pod garbage collector, the Job controller and the scheduler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    from tests.chaos.conftest import Hire
    from tests.chaos.fakenode import FakeNode
    from tests.chaos.scenario import Theatre

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]


def download(theatre: Theatre) -> dict[str, Any]:
    """Return the download stage's status, or an empty one."""
    [run] = theatre.list("qsr")
    return next(iter(run.get("status", {}).get("stages", [])), {})


def completes_at_the_second_attempt(theatre: Theatre) -> None:
    """Check that the download had two attempts and qrun one."""
    theatre.wait_for_all()
    [run] = theatre.list("qsr")
    assert run["status"]["phase"] == "Complete"
    assert [stage["attempts"] for stage in run["status"]["stages"]] == [2, 1]


def test_pod_that_does_not_stop_is_reported_and_replaced_later(theatre: Theatre, node: FakeNode, hire: Hire):
    """Without a report that the node is lost, its pods stay, and Kubernetes creates no others."""
    hire(QUERY_AFTER_SECONDS="3")
    node.holds = True
    theatre.apply("nightly", stages={"download": {"retries": 0}})
    wait_for(lambda: download(theatre).get("state") == "Running", PATIENCE, "the download to run")
    node.is_lost = True
    [pod] = [one["metadata"]["name"] for one in theatre.list("pods")]
    delete = ("delete", "pod", pod, f"--namespace={theatre.namespace}", "--wait=false")
    theatre.cluster.kubectl(*delete, "--grace-period=1")
    wait_for(lambda: download(theatre).get("reason") == "PodDoesNotEnd", PATIENCE, "the reason to be told")
    assert f'the pod "{pod}" was told to stop and has not: its node "fake"' in download(theatre)["message"]
    theatre.cluster.kubectl(*delete, "--grace-period=0", "--force")
    node.holds = False
    node.come_back()
    completes_at_the_second_attempt(theatre)


def test_lost_node_does_not_count_as_a_retry(theatre: Theatre, node: FakeNode, hire: Hire):
    """With no retry left; without a node, the run says that it waits for one."""
    operator = hire(QUERY_AFTER_SECONDS="3")
    node.holds = True
    theatre.apply("nightly", stages={"download": {"retries": 0}})
    wait_for(lambda: download(theatre).get("state") == "Running", PATIENCE, "the download to run")
    node.lose()
    wait_for(lambda: download(theatre).get("reason") == "Unschedulable", PATIENCE, "another attempt to wait")
    assert download(theatre)["attempts"] == 2
    told = [event["note"] for event in theatre.list("events.events.k8s.io") if "regarding" in event]
    assert any("stage download waits: Unschedulable" in note for note in told)
    node.holds = False
    node.come_back()
    completes_at_the_second_attempt(theatre)
    jobs = {job["metadata"]["labels"]["qlibshadow.io/stage"]: job["status"] for job in theatre.list("jobs")}
    assert jobs.keys() == {"download", "qrun"}
    assert jobs["download"].get("failed", 0) == 0
    assert operator.lives()

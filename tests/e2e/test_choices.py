"""What a run may choose, on a real API server: the Job carries it, or the run fails before there is one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.contract.wrong_forms import RIGHT

from operator_processes import Workshop, alarms, define_runs, make_namespace, operating, synthetic
from qlib_shadow_operator.runs.defaults import Defaults
from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testcluster import Cluster

pytestmark = pytest.mark.cluster

CHOSEN: dict[str, Any] = RIGHT["every setting of a pod"]["stages"]["download"]
FEED = {"url": "https://data.example/us.zip", "sha256": "0" * 64, "credentialsSecret": "feed"}
ALLOWED = {
    "secrets": [{"name": "feed", "url": "https://data.example/"}],
    "images": ["r.example/research/*"],
    "claims": ["research"],
    "pullSecrets": ["registry"],
    "nodeLabels": ["*"],
    "tolerations": ["spot"],
    "priorityClasses": ["batch"],
    "runtimeClasses": ["gvisor"],
    "labels": ["*"],
    "annotations": ["cluster-autoscaler.kubernetes.io/*"],
    "serviceAccounts": ["reader"],
    "env": ["AWS_REGION", "Lower_case"],
}
PODS: dict[str, Any] = {
    "tolerations": [{"key": "research", "operator": "Exists"}],
    "labels": {"desk": "equities"},
}
EVIL: dict[str, dict[str, Any]] = {
    "secret": {"dataset": {"source": {"archive": {**FEED, "url": "https://evil.example/us.zip"}}}},
    "other-secret": {"dataset": {"source": {"archive": {**FEED, "credentialsSecret": "database"}}}},
    "image": {"image": "evil.example/x:1"},
    "claim": {"storage": {"claimName": "ledger"}},
    "pull": {"imagePullSecrets": [{"name": "feed"}]},
    "taint": {"stages": {"qrun": {"tolerations": [{"operator": "Exists"}]}}},
    "priority": {"stages": {"qrun": {"priorityClassName": "system-node-critical"}}},
    "annotation": {"stages": {"qrun": {"annotations": {"webhook.example/inject": "true"}}}},
    "account": {"stages": {"download": {"serviceAccountName": "default"}}},
    "variable": {"stages": {"download": {"env": {"MALLOC_CONF": "x"}}}},
}


@pytest.fixture(scope="module")
def desk(
    start_control_plane: Callable[[], Cluster], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workshop]:
    """Yield a namespace in which an operator works that allows some things; no pod ever starts."""
    cluster, folder = start_control_plane(), tmp_path_factory.mktemp("desk")
    define_runs(cluster)
    make_namespace(cluster, "desk")
    classes = (
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "batch"},
            "value": 1,
        },
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": "gvisor"},
            "handler": "x",
        },
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "reader", "namespace": "desk"},
        },
    )
    cluster.apply(*classes)
    settings = {"ALLOWED": json.dumps(ALLOWED), "PODS": json.dumps(PODS), "JOB_TTL_SECONDS": "0"}
    with operating(cluster, folder, ("desk",), Defaults().image, **settings) as process:
        yield Workshop(cluster, "desk", folder)
        assert alarms(process.lines()) == []


def test_a_job_and_its_pod_carry_what_was_chosen(desk: Workshop):
    """As the API server stores them: nothing is dropped, and nothing is there besides."""
    spec = {
        "dataset": {"path": "/data/qlib/feed", "source": {"archive": FEED}},
        "image": "r.example/research/qlib-runner:1",
        "imagePullSecrets": [{"name": "registry"}],
        "storage": {"claimName": "research"},
        "stages": {"download": CHOSEN},
    }
    desk.run("chosen", **spec)
    pods = wait_for(lambda: desk.pods("chosen"), PATIENCE, "the pod of a run")
    [job] = desk.jobs("chosen").values()
    for document in (job, job["spec"]["template"], pods[0]):
        marks = document["metadata"]
        assert marks["annotations"].items() >= CHOSEN["annotations"].items()
        assert marks["labels"].items() >= {**CHOSEN["labels"], **PODS["labels"]}.items()
    for found in (job["spec"]["template"]["spec"], pods[0]["spec"]):
        for name in ("affinity", "priorityClassName", "runtimeClassName", "serviceAccountName"):
            assert found[name] == CHOSEN[name]
        assert found["nodeSelector"] == CHOSEN["nodeSelector"]
        wanted = [*PODS["tolerations"], *CHOSEN["tolerations"]]
        assert [one for one in found["tolerations"] if one in wanted] == wanted
        [spread] = found["topologySpreadConstraints"]
        assert spread.items() >= CHOSEN["topologySpreadConstraints"][0].items()
        assert found["automountServiceAccountToken"] is False
        [container] = found["containers"]
        assert "initContainers" not in found
        assert container["image"] == spec["image"]
        env = {one["name"]: one.get("value", "") for one in container["env"]}
        assert env.items() >= CHOSEN["env"].items()
        secrets = {one["valueFrom"]["secretKeyRef"]["name"] for one in container["env"] if "valueFrom" in one}
        assert secrets == {"feed"}
        assert not [one for one in found["volumes"] if "projected" in one or "secret" in one]


def test_a_run_that_chooses_more_fails_in_one_sentence(desk: Workshop):
    """Before a Job exists, with a typed reason, in the status and as an Event."""
    for name, spec in EVIL.items():
        desk.run(name, **{"dataset": synthetic(name), **spec})
    for name in EVIL:
        failed = desk.failure(name)
        assert failed["reason"] == "NotAllowed"
        assert failed["message"].startswith("spec.")
        assert "but the operator allows only " in failed["message"]
        assert "by those who installed the operator" in failed["message"]
        assert desk.told(name, "NotAllowed") == failed["message"]
        assert desk.jobs(name) == {}


def test_jobs_of_a_finished_run_are_deleted_and_the_run_stays(desk: Workshop):
    """After the installer's time, here at once; a run can keep them for longer."""
    soon = {"download": {"activeDeadlineSeconds": 1}}
    desk.run("brief", dataset=synthetic("brief"), stages=soon)
    desk.run("kept", dataset=synthetic("kept"), stages=soon, jobTtlSeconds=3600)
    for name in ("brief", "kept"):
        assert desk.failure(name)["reason"] == "DeadlineExceeded"
    wait_for(lambda: desk.jobs("brief") == {}, PATIENCE, "the Job to be deleted")
    assert desk.status("brief")["phase"] == "Failed"
    assert len(desk.jobs("kept")) == 1

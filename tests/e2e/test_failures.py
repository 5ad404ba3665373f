"""Every way in which a stage does not start or fails: the reason and the message, on a real node.

All runs are applied at once, for two operators: a patient one, and a hasty one with a short start timeout.
The tests assert what the user reads in `kubectl describe qsr`. The runs of the hasty one are checked last.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from operator_processes import (
    ALLOWED,
    QUERY_AFTER_SECONDS,
    Process,
    Workshop,
    alarms,
    define_runs,
    operating,
    synthetic,
    unreachable,
    workshop,
)
from qlib_shadow_operator.runs.queries import NO_WARNING_LIFETIME
from testcluster import PATIENCE
from testcluster.engines import engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testcluster import Cluster
    from testcluster.images import Images

pytestmark = pytest.mark.cluster

HASTY_SECONDS = QUERY_AFTER_SECONDS * (1 + 4 * NO_WARNING_LIFETIME)
"""Events are asked for four times before it: a busy kubelet may have nothing to say at first."""
PYTHON = "docker.io/library/python:3.12-slim"
"""The base of both images with Docker."""
BOTCHED = """
FROM {base}
COPY botched.sh /
ENTRYPOINT ["sh", "/botched.sh"]
"""
SCRIPT = """
fill() {
  trap 'exit 143' TERM
  head -c 8000000 /dev/zero > $1
  sleep 600 & wait
}
case $QLIB_SHADOW_REQUEST in
*nonsense*) echo all good > /dev/termination-log;;
*outgrown*) fill /work/much;;
*greedy*) fill /tmp/much;;
esac
"""
"""What the image does, by the name of the run: end without a result, or outgrow its storage."""
NO_ROOM = {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "no-room"}}
TOO_SMALL = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "small"},
    "spec": {"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]},
}


@pytest.fixture(scope="module")
def botched(cluster: Cluster, images: Images, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return an image that succeeds without a result or with a wrong one, or that uses too much storage."""
    folder, version = tmp_path_factory.mktemp("botched"), images.runner.reference.rpartition(":")[2]
    reference = f"localhost/qlib-botched:{version}"
    (folder / "botched.sh").write_text(SCRIPT)
    (folder / "Dockerfile").write_text(BOTCHED.format(base=engine().base() or PYTHON))
    engine().build(folder, folder / "Dockerfile", reference, {})
    engine().save(reference, folder / "botched.tar")
    cluster.load_image(folder / "botched.tar", reference)
    return reference


@dataclass(frozen=True)
class Case:
    """A run that fails, and what its user reads."""

    spec: dict[str, Any]
    reason: str
    words: tuple[str, ...]
    attempts: int = 1
    stage: str = "download"


def stages(**download: Any) -> dict[str, Any]:
    """Return the settings of the download stage."""
    return {"stages": {"download": download}}


def existing(path: str) -> dict[str, Any]:
    """Return an existing dataset that is missing."""
    return {"path": f"/data/qlib/{path}", "source": {"existing": {}}}


def with_secret(path: str) -> dict[str, Any]:
    """Return an archive whose Secret is missing."""
    archive = unreachable(path)["source"]["archive"] | {"credentialsSecret": "nowhere"}
    return {"path": f"/data/qlib/{path}", "source": {"archive": archive}}


OLD_PRICES = {"path": "/data/qlib/old", "source": {"prices": {"path": "inbox/old.csv"}}}


def write_old_prices(data: Path) -> None:
    """Write a user's price file to the volume: 260 days of 12 symbols that end in 2019."""
    days = [date(2019, 1, 1) + timedelta(days=n) for n in range(364)]
    rows = [
        f"{day},S{symbol:02},10,11,9,{10 + (day.day + symbol) % 7 / 10},1000"
        for day in days
        if day.weekday() < 5
        for symbol in range(12)
    ]
    (data / "inbox").mkdir(mode=0o755)
    (data / "inbox/old.csv").write_text("date,symbol,open,high,low,close,volume\n" + "\n".join(rows) + "\n")


HASTY: dict[str, Case] = {
    "no-image": Case(
        {"image": "localhost/nowhere:1"},
        "ImageUnavailable",
        (
            f"not started after {HASTY_SECONDS} s",
            'the image "localhost/nowhere:1" cannot be pulled',
            "Correct spec.image, or name the registry's credentials in the chart's runner.image.pullSecrets",
        ),
    ),
    "no-image-name": Case(
        {"image": "localhost/UPPER:1"},
        "ImageUnavailable",
        ('the image "localhost/UPPER:1" cannot be pulled', "Correct spec.image"),
    ),
    "no-node": Case(
        stages(nodeSelector={"disk": "none-such"}),
        "Unschedulable",
        ("no node can take the pod", "stages.download.resources", "nodeSelector"),
    ),
    "no-claim": Case(
        {"storage": {"claimName": "nowhere"}},
        "VolumeClaimMissing",
        ('the PersistentVolumeClaim "nowhere" is not in namespace', "Create it", "storage.claimName"),
    ),
    "no-volume": Case(
        {"storage": {"claimName": "unbound"}},
        "VolumeClaimUnusable",
        ('"unbound"', "unbound immediate PersistentVolumeClaims", "kubectl describe pvc"),
    ),
    "no-folder": Case(
        {"storage": {"claimName": "unmounted"}},
        "VolumeNotMounted",
        ('the volume behind the PersistentVolumeClaim "unmounted" cannot be mounted', "hostPath"),
    ),
    "no-job": Case(
        stages(resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}),
        "JobRejected",
        (
            "the API server refuses the Job of stage download: spec.stages.download.resources.requests: ",
            "less than or equal to memory limit of 1Gi. Correct spec.stages.download.resources",
        ),
    ),
}
"""Runs that never start."""

PATIENT: dict[str, Case] = {
    "no-dataset": Case(
        {"dataset": existing("nowhere"), **stages(retries=3)},
        "DatasetMissing",
        ("/data/qlib/nowhere",),
    ),
    "stale": Case(
        {"dataset": OLD_PRICES | {"maxAgeDays": 1}, **stages(retries=3)},
        "DatasetStale",
        ("the dataset ends on 2019-", "maxAgeDays is 1", "Bring newer data"),
    ),
    "no-benchmark": Case(
        {"dataset": synthetic("a-market"), "workflow": {"benchmark": "^NONE"}},
        "BenchmarkNotFound",
        ("^NONE", "workflow.benchmark"),
        stage="qrun",
    ),
    "small": Case(
        {"dataset": synthetic("small"), **stages(retries=0, resources={"limits": {"memory": "16Mi"}})},
        "OutOfMemory",
        ("killed for using more memory than its limit of 16Mi", "stages.download.resources.limits.memory"),
    ),
    "no-secret": Case(
        {"dataset": with_secret("no-secret"), **stages(retries=3)},
        "InvalidSpec",
        ('credentialsSecret: the Secret "nowhere" in namespace', "is not there", "kubectl create secret"),
    ),
    "short": Case(
        {"dataset": unreachable("short"), **stages(activeDeadlineSeconds=1)},
        "DeadlineExceeded",
        ("did not finish within its 1 s deadline", "Raise stages.download.activeDeadlineSeconds"),
    ),
    "flaky": Case(
        {"dataset": unreachable("flaky"), **stages(retries=1)},
        "DownloadFailed",
        ("127.0.0.1:9",),
        attempts=2,
    ),
    "silent": Case({}, "ResultMalformed", ("its result cannot be read", "it is empty", "spec.image")),
    "nonsense": Case({}, "ResultMalformed", ("its result cannot be read", "it is not JSON", "spec.image")),
    "outgrown": Case(
        stages(retries=1, scratch="2M"),
        "OutOfScratch",
        ("used more scratch space in /work than its limit of 2M", "Raise stages.download.scratch"),
        attempts=2,
    ),
    "greedy": Case(
        stages(retries=0, resources={"limits": {"memory": "64Mi", "ephemeral-storage": "3M"}}),
        "OutOfScratch",
        ("its limit of 3M", "Raise stages.download.resources.limits.ephemeral-storage"),
    ),
    "wrong-image": Case(
        stages(retries=0),
        "ContainerFailed",
        ("exit code 2 without a result; the log ends with: no cluster to talk to",),
    ),
}
"""Runs that start and fail."""


@pytest.fixture(scope="module")
def hasty(cluster: Cluster, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Let the hasty operator work on its runs."""
    define_runs(cluster)
    folder, image = tmp_path_factory.mktemp("hasty"), images.runner.reference
    timeout = {"START_TIMEOUT_SECONDS": str(HASTY_SECONDS)}
    with workshop(cluster) as shop, operating(cluster, folder, (shop.namespace,), image, **timeout):
        cluster.apply(*broken_claims(shop.namespace), namespace=shop.namespace)
        for name, case in HASTY.items():
            shop.run(name, **case.spec)
        yield shop


def broken_claims(namespace: str) -> tuple[dict[str, Any], ...]:
    """Return a claim without a volume, and one whose volume is a missing folder."""

    def claim(name: str, volume: str) -> dict[str, Any]:
        spec = {"accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": volume}
        size = {"resources": {"requests": {"storage": "1Gi"}}}
        meta = {"name": name, "namespace": namespace}
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec | size}

    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"{namespace}-unmounted",
            "labels": {"qlibshadow.io/test-namespace": namespace},
        },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "capacity": {"storage": "1Gi"},
            "hostPath": {"path": "/nowhere/at/all", "type": "Directory"},
        },
    }
    return claim("unbound", ""), volume, claim("unmounted", f"{namespace}-unmounted")


@dataclass(frozen=True)
class Patient:
    """Three namespaces of the patient operator."""

    shop: Workshop
    full: Workshop
    """Has no room for pods, and no NetworkPolicy."""
    strict: Workshop
    """Has no room for Jobs, and later none for pods of our size."""
    operator: Process


WITH_A_SECRET = json.dumps(
    json.loads(ALLOWED) | {"secrets": [{"name": "nowhere", "url": "https://127.0.0.1:9/"}]}
)


@pytest.fixture(scope="module")
def patient(
    cluster: Cluster, images: Images, botched: str, hasty: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Patient]:
    """Let the patient operator work on its runs, while the hasty one waits."""
    del hasty
    define_runs(cluster)
    folder, image = tmp_path_factory.mktemp("patient"), images.runner.reference
    with workshop(cluster) as shop, workshop(cluster, policy=False) as full, workshop(cluster) as strict:
        names = (shop.namespace, full.namespace, strict.namespace)
        with operating(cluster, folder, names, image, ALLOWED=WITH_A_SECRET) as process:
            write_old_prices(shop.data)
            cluster.apply(NO_ROOM | {"spec": {"hard": {"pods": "0"}}}, namespace=full.namespace)
            cluster.apply(NO_ROOM | {"spec": {"hard": {"count/jobs.batch": "0"}}}, namespace=strict.namespace)
            other = dict.fromkeys(("silent", "nonsense", "outgrown", "greedy"), botched)
            other |= {"wrong-image": images.operator.reference}
            full.run("waits", dataset=synthetic("us"))
            strict.run("refused", dataset=synthetic("us"))
            own = {"configMapRef": {"name": "mine", "key": "mine.yaml"}}
            shop.run("no-template", dataset=synthetic("not-made"), workflow=own)
            for name, case in PATIENT.items():
                image_of = {"image": other[name]} if name in other else {}
                shop.run(name, **case.spec, **image_of)
            yield Patient(shop, full, strict, process)


def check(shop: Workshop, name: str, case: Case) -> None:
    """Check what a user reads."""
    failed = shop.failure(name)
    assert failed["reason"] == case.reason, failed
    for words in case.words:
        assert words in failed["message"]
    stage = shop.stage(name, case.stage)
    assert (stage["state"], stage["reason"], stage["message"]) == ("Failed", case.reason, failed["message"])
    assert stage["attempts"] == case.attempts
    place = f"Log: {shop.status(name)['artifactPath']}/stderr.log"
    assert place in failed["message"]
    described = shop.kubectl("describe", "qsr", name)
    assert case.reason in described
    assert shop.told(name, case.reason) == failed["message"]


# First, because a refused Job is retried with backoff, and later tests would wait for it.
def test_pods_refused_by_a_quota_are_explained_and_created_later(patient: Patient):
    """The Job controller's Event is read: the Job itself says nothing."""
    full = patient.full
    waiting = full.wait_for_stage("waits", "download", reason="QuotaExceeded")
    assert waiting["state"] == "Waiting"
    for words in (
        "exceeded quota: no-room",
        full.namespace,
        "Delete what is no longer needed, or raise the quota",
    ):
        assert words in waiting["message"]
    assert "waits: QuotaExceeded" in full.told("waits", "StageWaiting")
    full.kubectl("delete", "resourcequota", "no-room")
    full.wait("waits", "DatasetReady")


def test_jobs_refused_by_a_quota_are_explained_and_created_later(patient: Patient):
    """Pods that a LimitRange refuses are explained, too."""
    strict = patient.strict
    waiting = strict.wait_for_stage("refused", "download", reason="QuotaExceeded")
    assert waiting["state"] == "Waiting"
    assert "exceeded quota: no-room" in waiting["message"]
    strict.cluster.apply(TOO_SMALL, namespace=strict.namespace)
    strict.kubectl("delete", "resourcequota", "no-room")
    waiting = strict.wait_for_stage("refused", "download", reason="PodRefused")
    for words in (
        f'namespace "{strict.namespace}" does not admit the pod',
        "maximum memory usage",
        "LimitRange",
    ):
        assert words in waiting["message"]
    strict.kubectl("delete", "limitrange", "small")
    strict.wait("refused", "DatasetReady")


def test_missing_network_policy_is_reported_but_not_refused(patient: Patient):
    """Policies of other kinds are not visible, and the runner's own guard needs none."""
    full, shop = patient.full, patient.shop
    full.kubectl("wait", "--for=condition=NetworkClosed=False", "qsr/waits", f"--timeout={PATIENCE}s")
    told = full.condition("waits", "NetworkClosed")
    assert told["reason"] == "NetworkPolicyMissing"
    for words in (full.namespace, "guard", f"kubectl apply -n {full.namespace}", "qrun.yaml"):
        assert words in told["message"]
    assert full.told("waits", "NetworkPolicyMissing") == told["message"]
    shop.wait("no-benchmark", "NetworkClosed")
    assert "NetworkPolicyMissing" not in shop.events("no-benchmark")


@pytest.mark.parametrize("name", PATIENT)
def test_failed_run_says_why(patient: Patient, name: str):
    """Cause, log and remedy; only transient failures are retried."""
    check(patient.shop, name, PATIENT[name])


def test_memory_limit_that_is_too_small_to_start_is_named(patient: Patient):
    """Whatever the container runtime calls it; nothing has run, so that there is no log."""
    patient.shop.run(
        "tiny", dataset=synthetic("tiny"), **stages(retries=0, resources={"limits": {"memory": "4Mi"}})
    )
    failed = patient.shop.failure("tiny")
    assert failed["reason"] in {"ContainerCannotStart", "OutOfMemory"}
    assert " its limit of 4Mi" in failed["message"] or "its memory limit of 4Mi" in failed["message"]
    assert "stages.download.resources.limits.memory" in failed["message"]


def test_log_is_on_the_volume(patient: Patient):
    """The file that the message names has the attempts and their ends."""
    patient.shop.wait("no-dataset", "Failed")
    path = patient.shop.status("no-dataset")["artifactPath"]
    log = patient.shop.data / path.removeprefix("/data/") / "stderr.log"
    assert "DatasetMissing" in log.read_text() or "nowhere" in log.read_text()


def test_run_folder_of_another_run_is_refused(patient: Patient):
    """Two runs cannot share a runId."""
    shop = patient.shop
    shop.wait("no-dataset", "Failed")
    taken = shop.status("no-dataset")["runId"]
    shop.run("second", runId=taken, dataset=existing("nowhere"))
    failed = shop.failure("second")
    assert failed["reason"] == "RunFolderTaken"
    assert f'belongs to the run "no-dataset" in namespace "{shop.namespace}"' in failed["message"]
    assert "Choose another spec.runId" in failed["message"]
    assert "stderr.log" not in failed["message"]  # it is the other run's
    assert "artifactPath" not in shop.status("second")


def test_missing_template_is_waited_for(patient: Patient):
    """The first stage waits for the ConfigMap, and continues when it exists: here, to its errors."""
    shop = patient.shop
    waiting = shop.wait_for_stage("no-template", "download", reason="TemplateNotFound")
    assert waiting["state"] == "Waiting"
    for words in ('entry "mine.yaml" of ConfigMap "mine"', shop.namespace, "not found", "configMapRef"):
        assert words in waiting["message"]
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}
    shop.cluster.apply(config_map | {"data": {"mine.yaml": "task: {model: 1"}}, namespace=shop.namespace)
    failed = shop.failure("no-template")
    assert failed["reason"] == "InvalidWorkflow"
    assert shop.stage("no-template", "download")["attempts"] == 1


def test_failed_runs_are_found_by_their_phase(patient: Patient):
    """By selectableFields, without listing all runs."""
    shop = patient.shop
    for name in ("no-dataset", "silent"):
        shop.wait(name, "Failed")
    listed = shop.kubectl("get", "qsr", "--field-selector=status.phase=Failed", "-o", "wide")
    header, *rows = listed.splitlines()
    assert header.split() == [
        *("NAME", "PHASE", "STAGE", "DATA", "END", "IC", "RANK", "IC", "ANN.RET", "MAX", "DD"),
        *("LEDGER", "AGE", "REASON", "ARTIFACTS"),
    ]
    found = {row.split()[0]: row for row in rows}
    assert "DatasetMissing" in found["no-dataset"]
    assert {row.split()[1] for row in rows} == {"Failed"}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"queueName": "Not A Name"}, "spec.queueName"),
        ({"queueName": ""}, "spec.queueName"),
        (
            {"workflow": {"template": "t", "configMapRef": {"name": "m"}}},
            "workflow takes template (a built-in one) or configMapRef (one of yours), not both; remove one",
        ),
        ({"workflow": {"configMapRef": {"key": "k"}}}, 'configMapRef): missing required field "name"'),
        ({"workflow": {"configMapRef": {"name": "m", "key": "a/b"}}}, "spec.workflow.configMapRef.key"),
        ({"workflow": {"window": {"train": "8w"}}}, "spec.workflow.window.train"),
        ({"dataset": {"version": "latest"}}, "dataset.version must be the fingerprint of a version"),
        (
            {"dataset": {"version": "0" * 12, "source": {"existing": {}}}},
            "dataset cannot have source beside version, which names data that is there already",
        ),
    ],
)
def test_invalid_spec_is_refused_at_once(patient: Patient, spec: dict[str, Any], sentence: str):
    """By the API server, before anything runs."""
    with pytest.raises(Exception, match=r"is invalid|error validating") as refused:
        patient.shop.run("wrong", **spec)
    assert sentence in str(refused.value)


def test_queue_of_a_started_run_is_frozen(patient: Patient):
    """Its Jobs exist already."""
    patient.shop.wait("no-dataset", "Failed")
    with pytest.raises(Exception, match="the run has started"):
        patient.shop.change("no-dataset", queueName="other")


def test_every_write_names_the_operator(patient: Patient):
    """In the managed fields of runs, Jobs and Events."""
    patient.shop.wait("no-dataset", "Failed")
    kinds = "qsr,jobs,events.events.k8s.io"
    listed = json.loads(patient.shop.kubectl("get", kinds, "-o", "json", "--show-managed-fields"))
    by = {
        kind: {
            field["manager"]
            for one in listed["items"]
            if one["kind"] == kind
            for field in one["metadata"]["managedFields"]
        }
        for kind in ("QlibShadowRun", "Job", "Event")
    }
    for managers in by.values():
        assert "qlib-shadow-operator" in managers
        assert "OpenAPI-Generator" not in managers


def test_operator_had_all_needed_rights(patient: Patient):
    """No request was forbidden, and no defect was logged."""
    patient.shop.wait("flaky", "Failed")
    lines = patient.operator.lines()
    assert lines
    assert [alarm for alarm in alarms(lines) if "exceeded quota: no-room" not in alarm] == []


@pytest.mark.parametrize("name", HASTY)
def test_run_that_cannot_start_says_why(hasty: Workshop, name: str):
    """After the start timeout the run fails, and its Job is deleted."""
    case = HASTY[name]
    failed = hasty.failure(name)
    assert failed["reason"] == case.reason, failed
    for words in case.words:
        assert words in failed["message"]
    assert "Log:" not in failed["message"]  # there is none
    assert hasty.told(name, case.reason) == failed["message"]
    assert case.reason in hasty.kubectl("describe", "qsr", name)
    hasty.kubectl(
        "wait", "--for=delete", "jobs", f"--selector=qlibshadow.io/run={name}", f"--timeout={PATIENCE}s"
    )

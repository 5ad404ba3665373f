"""The Jobs: pod security, environment, mounts and the pod failure policy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.contract.wrong_forms import NEAR, RIGHT, nodes
from tests.unit.operator.builders import UID, a_run
from tests.unit.operator.documents import a_run_document

from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_operator.runs.conditions import network_query
from qlib_shadow_operator.runs.decisions import CreateJob
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.jobs import build_job, build_recovery_job
from qlib_shadow_operator.runs.names import child_labels, job_name
from qlib_shadow_operator.settings import read_settings
from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.contract.spec.dataset import DatasetFields
from qlib_shadow_runner.contract.spec.jobs import (
    ImagePullSecret,
    OpenStageSpec,
    StageSpec,
    StagesSpec,
    StorageSpec,
)
from qlib_shadow_runner.contract.spec.sources import ArchiveSpec, SourceSpec
from qlib_shadow_runner.contract.spec.workflow import ConfigMapRef, WorkflowSpec
from qlib_shadow_runner.contract.stages import STAGES

RESOLVED = "/data/qlib/qlib_data/us_data_1d@3f9c"
WITH_SECRET = DatasetFields(
    sources=SourceSpec(archive=ArchiveSpec(url="https://data.example/us.zip", credentials_secret="archive"))
)
EVERYTHING: dict[str, Any] = RIGHT["every setting of a pod"]["stages"]["download"]
CLOSED = {name: one for name, one in EVERYTHING.items() if name not in {"serviceAccountName", "env"}}
WITH_TEMPLATE = WorkflowSpec(config_map=ConfigMapRef("mine", "a.yaml"))


def job(stage: Stage = Stage.QRUN, **spec: Any) -> dict[str, Any]:
    """Return a Job."""
    return build_job(a_run(**spec).run, stage, Defaults(), RESOLVED)


def pod(stage: Stage = Stage.QRUN, **spec: Any) -> dict[str, Any]:
    """Return a Job's pod spec."""
    found: dict[str, Any] = job(stage, **spec)["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("stage", Stage)
def test_a_pod_has_no_token_no_root_and_no_privileges(stage: Stage):
    """The "restricted" Pod Security Standard, and more."""
    spec = pod(stage)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["shareProcessNamespace"] is True  # SIGTERM works from the first moment
    assert spec["restartPolicy"] == "Never"
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "hostNetwork" not in spec


def test_scratch_folders_have_the_size_that_the_stage_names():
    """Else the operator's; each stage has its own."""
    sizes = [
        {
            v["name"]: v["emptyDir"]["sizeLimit"]
            for v in pod(stage, stages=asked)["volumes"]
            if "emptyDir" in v
        }
        for stage in Stage
        for asked in [StagesSpec(qrun=StageSpec(scratch="9Gi"))]
    ]
    assert sizes == [{"work": size, "tmp": size, "shm": "1Gi"} for size in ("4Gi", "9Gi", "4Gi")]


def test_disruption_is_ignored_before_exit_codes_are_read():
    """The first rule that matches decides."""
    assert job()["spec"]["podFailurePolicy"] == {
        "rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {
                "action": "Ignore",
                "onExitCodes": {"containerName": "stage", "operator": "In", "values": [143]},
            },
            {
                "action": "FailJob",
                "onExitCodes": {"containerName": "stage", "operator": "In", "values": [10, 11, 12, 15]},
            },
        ]
    }
    assert job()["spec"]["podReplacementPolicy"] == "Failed"
    assert job()["spec"]["backoffLimit"] == 2


def test_pod_gets_its_request_and_paths():
    """The question and the run id, but nothing of the operator's."""
    question = {"workflow": {"market": "auto"}}
    [container] = pod(question=question, image="r/qlib-runner:1", storage=StorageSpec("c"))["containers"]
    env = {one["name"]: one["value"] for one in container["env"]}
    assert json.loads(env.pop("QLIB_SHADOW_REQUEST")) == {
        "name": "demo",
        "namespace": "research",
        "uid": UID,
        "runId": "demo-a1b2c3d4",
        "spec": {"workflow": {"market": "auto"}, "runId": "demo-a1b2c3d4"},
    }
    assert env == {
        "QLIB_SHADOW_DATA": "/data",
        "QLIB_SHADOW_WORK": "/work",
        "QLIB_SHADOW_TERMINATION_LOG": "/dev/termination-log",
        "QLIB_SHADOW_IMAGE": "r/qlib-runner:1",
        "TZ": "UTC",
    }
    assert container["args"] == ["stage", "qrun"]
    assert container["image"] == "r/qlib-runner:1"
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_kubelet_expands_no_variable_in_a_request():
    """A $(VAR) in a spec arrives as it was written."""
    [container] = pod(question={"workflow": {"market": "$(QLIB_SHADOW_DATA)"}})["containers"]
    assert "$$(QLIB_SHADOW_DATA)" in container["env"][0]["value"]


BOOKS = {
    "name": "data",
    "mountPath": "/data/artifacts/trading-ops/qlib-shadow/ledgers",
    "subPath": "artifacts/trading-ops/qlib-shadow/ledgers",
    "readOnly": True,
}


LEDGER: dict[str, Any] = {"ledger": {"book": "us-shadow", "capital": 1e6}}


def read_only(stage: Stage, **spec: Any) -> list[dict[str, Any]]:
    """Return what a stage has read-only over the volume."""
    return [m for m in pod(stage, **spec)["containers"][0]["volumeMounts"] if m.get("readOnly")]


def test_dataset_and_books_are_read_only_where_they_are_only_read():
    """The resolved version itself, because a subPath must not be a link. The training cannot write a book."""
    dataset = {
        "name": "data",
        "mountPath": "/data/qlib/qlib_data/us_data_1d@3f9c",
        "subPath": "qlib/qlib_data/us_data_1d@3f9c",
        "readOnly": True,
    }
    found = {stage: read_only(stage, question=LEDGER) for stage in Stage}
    assert found == {Stage.DOWNLOAD: [], Stage.QRUN: [dataset, BOOKS], Stage.LEDGER: [dataset]}


def test_without_a_ledger_a_pod_is_as_it_was_until_its_claim_has_a_book():
    """Before, the kubelet would make their folder, and those above it, as root."""
    for has_books in (False, True):
        scene = a_run()
        scene = replace(scene, observed=replace(scene.observed, has_books=has_books))
        [create] = scene.decide().actions
        assert isinstance(create, CreateJob)
        mounts = create.body["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        assert create.stage is Stage.DOWNLOAD
        assert (BOOKS in mounts) is has_books
        made = build_job(a_run().run, Stage.QRUN, Defaults(), RESOLVED, has_books=has_books)
        mounts = made["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        assert (BOOKS in mounts) is has_books
    asked = a_run(question=LEDGER).run
    for stage in (Stage.QRUN, Stage.LEDGER):
        known = build_job(asked, stage, Defaults(), RESOLVED, has_books=True)
        assert known == job(stage, question=LEDGER)


def test_a_ledger_changes_nothing_of_the_other_stages_but_their_request():
    """Their pods, labels and deadlines are as without one; the training has the books read-only."""
    asked = LEDGER
    for stage in (Stage.DOWNLOAD, Stage.QRUN):
        plain, found = job(stage), job(stage, question=asked)
        [container] = found["spec"]["template"]["spec"]["containers"]
        container["volumeMounts"] = [one for one in container["volumeMounts"] if one != BOOKS]
        env = container["env"]
        told = next(one for one in env if one["name"] == "QLIB_SHADOW_REQUEST")
        assert json.loads(told["value"])["spec"].pop("ledger") == asked["ledger"]
        was = plain["spec"]["template"]["spec"]["containers"][0]["env"]
        told["value"] = next(one["value"] for one in was if one["name"] == "QLIB_SHADOW_REQUEST")
        assert found == plain


def test_scratch_volumes_are_deleted_with_the_pod():
    """Work, temporary files and shared memory are bounded emptyDirs; only the claim stays."""
    kinds = {volume["name"]: next(k for k in volume if k != "name") for volume in pod()["volumes"]}
    assert kinds == {
        "data": "persistentVolumeClaim",
        "work": "emptyDir",
        "tmp": "emptyDir",
        "shm": "emptyDir",
    }
    assert all("sizeLimit" in volume["emptyDir"] for volume in pod()["volumes"] if "emptyDir" in volume)


def test_run_owns_its_jobs_without_finalizer():
    """Deleting a run deletes its Jobs."""
    metadata = job()["metadata"]
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "qlibshadow.io/v1alpha1",
            "kind": "QlibShadowRun",
            "name": "demo",
            "uid": UID,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    assert metadata["labels"] == job()["spec"]["template"]["metadata"]["labels"]
    assert metadata["labels"] == {
        "app.kubernetes.io/name": "qlib-shadow",
        "app.kubernetes.io/managed-by": "qlib-shadow-operator",
        "app.kubernetes.io/component": "qrun",
        "qlibshadow.io/run": "demo",
        "qlibshadow.io/run-uid": UID,
        "qlibshadow.io/stage": "qrun",
    }


@pytest.mark.parametrize("name", ["a", "n" * 63, "with.dots-and-9", "n" * 44 + ".tail", "n" * 44 + "-tail"])
@pytest.mark.parametrize("stage", Stage)
def test_names_are_deterministic_and_short_enough(name: str, stage: Stage):
    """A Job's name becomes a label and the beginning of a host name."""
    found = job_name(name, UID, stage)
    assert found == job_name(name, UID, stage)
    assert len(found) <= 63
    assert found.endswith(f"-a1b2c3d4-{stage}")
    assert found.replace("-", "").isalnum()
    assert "--" not in found
    assert all(len(value) <= 63 for value in child_labels(name, UID, stage).values())


def test_only_the_download_gets_the_archive_credentials():
    """By the kubelet: the operator has no right to read Secrets."""

    def from_secret(stage: Stage) -> dict[str, tuple[str, str]]:
        env = pod(stage, dataset=WITH_SECRET)["containers"][0]["env"]
        refs = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in env if "valueFrom" in one}
        return {name: (ref["name"], ref["key"]) for name, ref in refs.items()}

    assert from_secret(Stage.DOWNLOAD) == {
        "QLIB_SHADOW_ARCHIVE_TOKEN": ("archive", "token"),
        "QLIB_SHADOW_ARCHIVE_USERNAME": ("archive", "username"),
        "QLIB_SHADOW_ARCHIVE_PASSWORD": ("archive", "password"),
    }
    assert from_secret(Stage.QRUN) == {}


def test_named_version_is_mounted_read_only():
    """No stage needs to resolve it: its folder follows from the spec."""
    scene = a_run(question={"dataset": {"path": "/data/mine", "version": "3f9c0a1b2c3d" + "0" * 52}})
    [create] = scene.decide().actions
    assert isinstance(create, CreateJob)
    mounts = create.body["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    read_only = [one for one in mounts if one.get("readOnly")]
    assert (create.stage, read_only) == (
        Stage.QRUN,
        [
            {
                "name": "data",
                "mountPath": "/data/mine@3f9c0a1b2c3d",
                "subPath": "mine@3f9c0a1b2c3d",
                "readOnly": True,
            },
        ],
    )


def test_stage_settings_of_a_run_replace_the_defaults():
    """Resources are replaced as a whole, so that no default limit is below a request."""
    asked = StageSpec(
        resources={"requests": {"memory": "1Gi"}},
        node_selector={"disk": "ssd"},
        tolerations=({"key": "gpu", "operator": "Exists"},),
        active_deadline_seconds=60,
        retries=0,
    )
    found = job(
        stages=StagesSpec(qrun=asked),
        image_pull_secrets=(ImagePullSecret("registry"),),
        image_pull_policy="Always",
    )
    spec = found["spec"]["template"]["spec"]
    assert found["spec"]["backoffLimit"] == 0
    assert found["spec"]["activeDeadlineSeconds"] == 60
    assert spec["containers"][0]["resources"] == {"requests": {"memory": "1Gi"}}
    assert spec["containers"][0]["imagePullPolicy"] == "Always"
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert pod(Stage.DOWNLOAD)["containers"][0]["resources"]["limits"] == {"memory": "2Gi"}


def test_only_the_download_gets_the_proxies():
    """The training stage needs no proxy."""
    defaults = Defaults(proxies={"HTTPS_PROXY": "http://proxy:3128"})

    def told(stage: Stage) -> bool:
        template = build_job(a_run().run, stage, defaults, RESOLVED)["spec"]["template"]["spec"]
        return {"name": "HTTPS_PROXY", "value": "http://proxy:3128"} in template["containers"][0]["env"]

    assert {stage: told(stage) for stage in Stage} == {
        Stage.DOWNLOAD: True,
        Stage.QRUN: False,
        Stage.LEDGER: False,
    }


@pytest.mark.parametrize("given", ["", "0", "1000000000"])
def test_only_qrun_gets_the_features_cache_limit(given: str):
    """Without a setting the runner has its own default; 0 is a valid limit."""
    defaults = Defaults(features_cache_bytes=given)

    def told(stage: Stage) -> list[str]:
        template = build_job(a_run().run, stage, defaults, RESOLVED)["spec"]["template"]["spec"]
        env = template["containers"][0]["env"]
        return [one["value"] for one in env if one["name"] == "QLIB_SHADOW_FEATURES_CACHE_BYTES"]

    assert told(Stage.DOWNLOAD) == []
    assert told(Stage.QRUN) == ([given] if given else [])


@pytest.mark.parametrize(("given", "seconds"), [(None, "3600"), (90, "90")])
def test_only_the_download_gets_its_deadline(given: int | None, seconds: str):
    """So that a slow server ends in a sentence, before Kubernetes ends the pod."""
    stages = StagesSpec(download=OpenStageSpec(active_deadline_seconds=given))

    def told(stage: Stage) -> list[str]:
        env = pod(stage, stages=stages)["containers"][0]["env"]
        return [one["value"] for one in env if one["name"] == "QLIB_SHADOW_DEADLINE_SECONDS"]

    assert told(Stage.DOWNLOAD) == [seconds]
    assert told(Stage.QRUN) == []


def test_a_queued_job_waits_for_kueue():
    """Created suspended, with Kueue's label on the Job but not on its pods."""
    queued = job(queue_name="nightly")
    assert queued["spec"]["suspend"] is True
    assert queued["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "nightly"
    assert "kueue.x-k8s.io/queue-name" not in queued["spec"]["template"]["metadata"]["labels"]
    assert "suspend" not in job()["spec"]


def test_every_stage_that_renders_gets_the_template():
    """By the kubelet, whose pod status says what is missing: before the download, which may take an hour."""

    def told(stage: Stage) -> list[dict[str, Any]]:
        env = pod(stage, workflow=WITH_TEMPLATE)["containers"][0]["env"]
        return [one for one in env if one["name"] == "QLIB_SHADOW_TEMPLATE"]

    reference = {"name": "mine", "key": "a.yaml"}
    expected = [{"name": "QLIB_SHADOW_TEMPLATE", "valueFrom": {"configMapKeyRef": reference}}]
    assert [told(stage) for stage in Stage] == [expected, expected, []]
    assert "QLIB_SHADOW_TEMPLATE" not in json.dumps(pod(Stage.QRUN))


@pytest.mark.parametrize("stage", Stage)
def test_recovery_job_is_small_and_reads_the_run_folder(stage: Stage):
    """The same request and kind of pod, without what only the stage itself needs; it can write nothing."""
    run = a_run(workflow=WITH_TEMPLATE, dataset=WITH_SECRET, queue_name="q").run
    told, whole = build_recovery_job(run, stage, Defaults()), build_job(run, stage, Defaults(), RESOLVED)
    [container] = told["spec"]["template"]["spec"]["containers"]
    [of_stage] = whole["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["stage", str(stage), "--report"]
    own = STAGES[stage].secrets | STAGES[stage].variables
    assert container["env"] == [one for one in of_stage["env"] if one["name"] not in own]
    mounts = {m["mountPath"]: m.get("readOnly", False) for m in container["volumeMounts"]}
    assert mounts == {"/data": True, "/work": False, "/tmp": False, "/dev/shm": False}
    assert container["resources"]["requests"]["cpu"] == "50m"
    for same in ("securityContext", "image", "terminationMessagePath"):
        assert container[same] == of_stage[same]
    assert told["metadata"]["name"] == f"demo-a1b2c3d4-{stage}-report"
    assert told["metadata"]["labels"]["qlibshadow.io/purpose"] == "report"
    assert told["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "q"
    assert (told["spec"]["backoffLimit"], told["spec"]["activeDeadlineSeconds"]) == (1, 600)
    assert told["metadata"]["ownerReferences"] == whole["metadata"]["ownerReferences"]


@pytest.mark.parametrize("name", ["a", "n" * 63, "n" * 38 + ".tail"])
def test_recovery_job_name_is_short_and_distinct(name: str):
    """However long the run's name is."""
    found = job_name(name, UID, Stage.DOWNLOAD, "report")
    assert len(found) <= 63
    assert found.endswith("-a1b2c3d4-download-report")
    assert "--" not in found


PLACED = (
    *("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"),
    *("priorityClassName", "runtimeClassName"),
)


@pytest.mark.parametrize("by", ["the run", "the installer"])
@pytest.mark.parametrize("stage", Stage)
def test_a_job_carries_what_was_asked_for_its_pods(stage: Stage, by: str):
    """Chosen by the run, or given to all runs; only an open stage has an account and variables."""
    chosen = {"stages": {"download": EVERYTHING, "qrun": CLOSED, "ledger": CLOSED}} if by == "the run" else {}
    given = {} if by == "the run" else {"QLIB_SHADOW_PODS": json.dumps(EVERYTHING)}
    run, defaults = parse_run(a_run_document(spec=chosen)), read_settings(given).defaults
    plain = build_job(a_run().run, stage, Defaults(), RESOLVED)
    found = json.loads(json.dumps(build_job(run, stage, defaults, RESOLVED)))
    pod, was = found["spec"]["template"]["spec"], plain["spec"]["template"]["spec"]
    assert {name: pod.pop(name) for name in PLACED} == {name: EVERYTHING[name] for name in PLACED}
    assert (pod.pop("serviceAccountName", None) == "reader") == (stage is Stage.DOWNLOAD)
    env = [one for one in pod["containers"][0]["env"] if one["name"] in EVERYTHING["env"]]
    assert len(env) == (2 if stage is Stage.DOWNLOAD else 0)
    for document in (found, found["spec"]["template"]):
        assert document["metadata"]["annotations"] == EVERYTHING["annotations"]
        assert document["metadata"]["labels"].items() >= EVERYTHING["labels"].items()
        assert document["metadata"]["labels"].items() >= child_labels("demo", UID, stage).items()
    # Everything else is as if nothing had been asked: one container, no token, the same security.
    container, before = pod["containers"][0], was["containers"][0]
    container["env"] = [one for one in container["env"] if one["name"] not in EVERYTHING["env"]]
    assert [one["name"] for one in container.pop("env")] == [one["name"] for one in before.pop("env")]
    assert pod == was


def affinity_of(asked: dict[str, Any], given: dict[str, Any]) -> Any:
    """Return the affinity of a pod, of what the run asks for and what the installer gives to all runs."""
    defaults = read_settings({"QLIB_SHADOW_PODS": json.dumps({"affinity": given})}).defaults
    run = parse_run(a_run_document(spec={"stages": {"qrun": {"affinity": asked}}}))
    job = json.loads(json.dumps(build_job(run, Stage.QRUN, defaults, RESOLVED)))
    return job["spec"]["template"]["spec"].get("affinity")


def exists(*keys: str) -> list[dict[str, Any]]:
    """Return conditions on labels of nodes."""
    return [{"key": key, "operator": "Exists"} for key in keys]


@pytest.mark.parametrize("asked", [{}, {"nodeAffinity": {}}, {"podAntiAffinity": {}}])
def test_an_empty_affinity_of_a_run_changes_nothing(asked: dict[str, Any]):
    """The installer's nodes still hold."""
    assert affinity_of(asked, nodes(*exists("pool"))) == nodes(*exists("pool"))
    assert affinity_of(asked, {}) is None


def test_a_run_adds_to_what_the_installers_affinity_requires():
    """A node meets a term of both; terms about pods are joined; preferences are the run's."""
    required, preferred = (
        f"{how}DuringSchedulingIgnoredDuringExecution" for how in ("required", "preferred")
    )
    either = {"nodeSelectorTerms": [{"matchExpressions": exists(key)} for key in ("pool", "spare")]}
    liked = [{"weight": 1, "podAffinityTerm": NEAR}]
    big = [{"weight": 2, "preference": {"matchExpressions": exists("big")}}]
    given = {
        "nodeAffinity": {
            required: either,
            preferred: big,
        },
        "podAntiAffinity": {required: [NEAR]},
    }
    far = {"podAntiAffinity": {required: [{**NEAR, "topologyKey": "rack"}], preferred: liked}}
    assert affinity_of(nodes(*exists("ssd")) | far, given) == {
        "nodeAffinity": {
            required: {
                "nodeSelectorTerms": [
                    {"matchExpressions": exists("pool", "ssd")},
                    {"matchExpressions": exists("spare", "ssd")},
                ]
            },
            preferred: big,
        },
        "podAntiAffinity": {required: [NEAR, {**NEAR, "topologyKey": "rack"}], preferred: liked},
    }


def test_a_run_adds_to_what_all_runs_get():
    """Names are merged, tolerations joined, and the rest replaced; the operator's labels stay."""
    base = {
        "nodeSelector": {"pool": "research", "disk": "hdd"},
        "tolerations": [{"key": "research", "operator": "Exists"}],
        "priorityClassName": "batch",
        "labels": {"team": "all"},
        "env": {"REGION": "us", "SSL_CERT_FILE": "/etc/ca.pem"},
    }
    asked = {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "priorityClassName": "high",
        "labels": {"team": "a", "qlibshadow.io/stage": "qrun"},
        "env": {"REGION": "$(HOME)"},
    }
    defaults = read_settings({"QLIB_SHADOW_PODS": json.dumps(base)}).defaults
    run = parse_run(a_run_document(spec={"stages": {"download": asked}}))
    found = build_job(run, Stage.DOWNLOAD, defaults)
    pod = found["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "research", "disk": "ssd"}
    assert [one["key"] for one in pod["tolerations"]] == ["research", "gpu"]
    assert pod["priorityClassName"] == "high"
    assert (found["metadata"]["labels"]["team"], found["metadata"]["labels"]["qlibshadow.io/stage"]) == (
        "a",
        "download",
    )
    env = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
    assert (env["REGION"], env["SSL_CERT_FILE"]) == ("$$(HOME)", "/etc/ca.pem")


def test_an_installer_can_keep_webhooks_out_of_every_pod():
    """No run can name these keys, and so none can undo it."""
    off = {"labels": {"sidecar.istio.io/inject": "false"}, "annotations": {"linkerd.io/inject": "disabled"}}
    defaults = read_settings({"QLIB_SHADOW_PODS": json.dumps(off)}).defaults
    for stage in Stage:
        pod = build_job(a_run().run, stage, defaults, RESOLVED)["spec"]["template"]["metadata"]
        assert pod["labels"].items() >= off["labels"].items()
        assert pod["annotations"] == off["annotations"]


def test_only_an_open_stage_gets_a_clouds_identity():
    """A label of the installer's for all runs would hand the training a token, too."""
    marks = {"azure.workload.identity/use": "true"}
    defaults = read_settings(
        {"QLIB_SHADOW_PODS": json.dumps({"labels": marks, "annotations": marks})}
    ).defaults
    has = {}
    for stage in Stage:
        found = build_job(a_run().run, stage, defaults, RESOLVED)
        documents = (found["metadata"], found["spec"]["template"]["metadata"])
        has[stage] = {"azure" in json.dumps([one["labels"], one.get("annotations")]) for one in documents}
    assert has == {Stage.DOWNLOAD: {True}, Stage.QRUN: {False}, Stage.LEDGER: {False}}


def test_a_recovery_job_is_placed_as_its_stage_but_has_neither_account_nor_variables():
    """It reads one file."""
    run = parse_run(a_run_document(spec={"stages": {"download": EVERYTHING}}))
    pod = build_recovery_job(run, Stage.DOWNLOAD, Defaults())["spec"]["template"]["spec"]
    assert {name: pod[name] for name in PLACED} == {name: EVERYTHING[name] for name in PLACED}
    assert "serviceAccountName" not in pod
    assert not {one["name"] for one in pod["containers"][0]["env"]} & set(EVERYTHING["env"])


def test_policies_are_looked_for_by_all_labels_of_the_training():
    """A label of the run can make a policy select its pods that opens the network."""
    run = parse_run(a_run_document(spec={"stages": {"qrun": {"labels": {"internet": "yes"}}}}))
    query = network_query(run, Stage.QRUN, Defaults())
    assert query.labels == frozenset({**child_labels("demo", UID, Stage.QRUN), "internet": "yes"}.items())

"""One QlibShadowRun, from `kubectl apply` to figures on the resource, on a real node."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from installation import DEMO
from qlib_shadow_runner.cache.places import FEATURES_CACHE
from testcluster import PATIENCE
from testcluster.engines import engine

if TYPE_CHECKING:
    from installation import Installation
    from testcluster.images import Images

pytestmark = pytest.mark.cluster

QLIB_SHADOW = Path(sys.executable).with_name("qlib-shadow")


def plain_environment() -> dict[str, str]:
    """Return the variables of a login shell: some libraries behave differently under CI or pytest."""
    keep = ("PATH", "HOME", "LANG", "TZ")
    return {name: os.environ[name] for name in keep if name in os.environ}


def qlib_shadow(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would."""
    command = [str(QLIB_SHADOW), *map(str, args)]
    return subprocess.run(
        command, env=plain_environment(), capture_output=True, text=True, check=False, timeout=600
    )


def without_run_id(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics without the run id."""
    return {name: value for name, value in metrics.items() if name != "runId"}


def conditions(run: dict[str, Any]) -> dict[str, str]:
    """Return the conditions as type → status."""
    return {condition["type"]: condition["status"] for condition in run["status"]["conditions"]}


def metadata_of(folder: Path) -> dict[str, Any]:
    """Read a run folder's metadata."""
    document: dict[str, Any] = json.loads((folder / "RUN_METADATA.json").read_text())
    return document


@pytest.fixture(scope="module")
def folder(installation: Installation, finished_demo: dict[str, Any]) -> Path:
    """Return the run folder as this machine sees it."""
    return installation.on_host(finished_demo["status"]["artifactPath"])


@pytest.fixture(scope="module")
def metadata(folder: Path) -> dict[str, Any]:
    """Return the cluster run's RUN_METADATA.json."""
    return metadata_of(folder)


@pytest.fixture(scope="module")
def asked_here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Make the dataset of the same file on this machine, and render its question without answering it."""
    data = tmp_path_factory.mktemp("local") / "data"
    told = []
    for command in ("download", "render"):
        done = qlib_shadow(command, DEMO, "--data", data, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        told.append(json.loads(done.stdout))
    return {"fingerprint": told[0]["dataset"]["fingerprint"], "configHash": told[1]["configHash"]}


@pytest.fixture(scope="module")
def run_in_the_image(images: Images) -> dict[str, Any]:
    """Run the same file in the image without Kubernetes: equal Python, equal packages."""
    script = """
        cd /tmp && printf %s "$1" > demo.yaml && qlib-shadow run demo.yaml --data data >&2 &&
        cd data/artifacts/trading-ops/qlib-shadow/demo-* &&
        printf '{"metadata": %s, "metrics": %s}' "$(cat RUN_METADATA.json)" "$(cat metrics.json)"
    """
    with engine().container(images.runner.reference) as container:
        printed = container.run("sh", "-c", script, "sh", DEMO.read_text())
    documents: dict[str, Any] = json.loads(printed)
    return documents


def test_sample_run_completes(finished_demo: dict[str, Any]):
    """`kubectl wait --for=condition=Complete` has succeeded; no condition contradicts it."""
    assert finished_demo["status"]["phase"] == "Complete"
    found = conditions(finished_demo)
    assert found["Complete"] == "True"
    assert found["DatasetReady"] == "True"
    assert found.get("Failed", "False") == "False"


def test_each_stage_took_one_job_and_one_attempt(installation: Installation, finished_demo: dict[str, Any]):
    """Nothing was retried unnoticed."""
    stages = finished_demo["status"]["stages"]
    assert [stage["name"] for stage in stages] == ["download", "qrun"]
    assert {stage["state"] for stage in stages} == {"Succeeded"}
    assert {stage["attempts"] for stage in stages} == {1}
    jobs = json.loads(installation.kubectl("get", "jobs", "-l", "qlibshadow.io/run=demo", "-o", "json"))
    assert sorted(job["metadata"]["name"] for job in jobs["items"]) == sorted(s["jobName"] for s in stages)
    uid = finished_demo["metadata"]["uid"]
    assert {owner["uid"] for job in jobs["items"] for owner in job["metadata"]["ownerReferences"]} == {uid}


def test_the_run_folder_passes_verify(installation: Installation, folder: Path):
    """The golden-run checklist holds for the cluster's files, read on another machine."""
    done = qlib_shadow("verify", folder, "--data", installation.data)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_status_holds_the_metrics_of_the_run_folder(finished_demo: dict[str, Any], folder: Path):
    """The resource has the figures of the files, to the last digit."""
    written = json.loads((folder / "metrics.json").read_text())
    reported = finished_demo["status"]["metrics"]
    assert reported
    assert reported == {name: written[name] for name in reported}
    assert {"ic", "rankIc", "annualizedReturn", "informationRatio", "maxDrawdown"} <= reported.keys()


def test_the_status_identifies_dataset_and_configuration(
    finished_demo: dict[str, Any], metadata: dict[str, Any]
):
    """What makes the run repeatable is on the resource."""
    status = finished_demo["status"]
    assert status["configHash"] == metadata["config_hash"]
    assert status["gitCommit"] == metadata["git_commit"] != "unknown"
    assert status["dataset"]["fingerprint"] == metadata["dataset_fingerprint"]
    assert status["dataset"]["calendarEnd"] > status["dataset"]["calendarStart"]
    assert status["runId"] == metadata["run_id"] == f"demo-{finished_demo['metadata']['uid'][:8]}"


def test_pods_ran_without_privileges(installation: Installation, finished_demo: dict[str, Any], folder: Path):
    """Non-root, no token, writable only on the volume and scratch; the files show it, too."""
    pods = installation.pods_of(finished_demo["metadata"]["name"])
    assert len(pods) == 2
    for pod in pods:
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert not [v for v in spec["volumes"] if "projected" in v or "secret" in v]
        (container,) = spec["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not [m for m in container["volumeMounts"] if "serviceaccount" in m["mountPath"]]
    owners = {path.stat().st_uid for path in folder.rglob("*")}
    assert owners == {10001}


def test_the_dataset_is_mounted_read_only_while_training(
    installation: Installation, finished_demo: dict[str, Any]
):
    """Training cannot change its dataset."""
    _, qrun = installation.pods_of(finished_demo["metadata"]["name"])
    mounts = qrun["spec"]["containers"][0]["volumeMounts"]
    resolved = finished_demo["status"]["dataset"]["resolvedPath"]
    assert [m for m in mounts if m["mountPath"] == resolved and m.get("readOnly")], mounts


def test_default_engine_computed_and_cached_features(installation: Installation, metadata: dict[str, Any]):
    """Every part uses our engine, in the pod's one attempt; the cache belongs to the group of all pods."""
    assert set(metadata["engines"].values()) == {"fast"}
    features = metadata["features"]
    assert (features["engine"], features["attempt"], features["columns"]) == ("fast", 1, 159)
    assert features["cache"] in ("kept for other runs", "taken from the cache"), "or another test was first"
    assert (features["columns_by_qlib"], features["instruments_by_qlib"]) == ([], [])
    cache = installation.data / FEATURES_CACHE
    assert {path.name for path in cache.glob("*/*")} >= {"content.json", "matrix.f32"}
    found = [path.stat() for path in (cache, *cache.rglob("*"))]
    assert {(one.st_uid, one.st_gid) for one in found} == {(10001, 10001)}
    assert {stat.S_IMODE(one.st_mode) & 0o060 for one in found} == {0o060}


def test_the_pods_log_is_the_run_folders_log(
    installation: Installation, finished_demo: dict[str, Any], folder: Path
):
    """`kubectl logs` and the files have the same lines, over all stages."""
    kept = (folder / "stdout.log").read_text() + (folder / "stderr.log").read_text()
    for pod in installation.pods_of(finished_demo["metadata"]["name"]):
        shown = installation.kubectl("logs", pod["metadata"]["name"]).splitlines()
        assert shown
        missing = [line for line in shown if line.strip() and line not in kept]
        assert missing == []


def test_kubectl_get_shows_the_figures(installation: Installation, finished_demo: dict[str, Any]):
    """Users look at the table first."""
    header, row = installation.kubectl("get", "qsr", "demo").splitlines()
    for column in ("PHASE", "IC", "ANN.RET", "AGE"):
        assert column in header
    assert "Complete" in row
    assert finished_demo["status"]["dataset"]["calendarEnd"] in row


def test_same_file_has_the_same_hashes_on_a_laptop(metadata: dict[str, Any], asked_here: dict[str, Any]):
    """Dataset fingerprint and config hash are the same with and without a cluster."""
    assert asked_here["fingerprint"] == metadata["dataset_fingerprint"]
    assert asked_here["configHash"] == metadata["config_hash"]


def test_equal_versions_give_equal_metrics(
    metadata: dict[str, Any], run_in_the_image: dict[str, Any], folder: Path
):
    """Where Python and packages are equal, so is every figure."""
    here = run_in_the_image["metadata"]
    assert (here["python"], here["packages"]) == (metadata["python"], metadata["packages"])
    assert here["config_hash"] == metadata["config_hash"]
    ours = run_in_the_image["metrics"]
    theirs = json.loads((folder / "metrics.json").read_text())
    assert without_run_id(ours) == without_run_id(theirs)


def test_a_second_apply_changes_nothing(installation: Installation, finished_demo: dict[str, Any]):
    """The same file again is not a new run."""
    assert "unchanged" in installation.kubectl("apply", "-f", str(DEMO))
    assert installation.get("qsr", "demo")["status"] == finished_demo["status"]


def a_run_of_version(name: str, version: str) -> str:
    """Write the demo's run, on a version that is there."""
    run = yaml.safe_load(DEMO.read_text())
    run["metadata"]["name"] = name
    run["spec"] |= {"dataset": {"version": version}, "reuse": "IfIdentical"}
    return yaml.safe_dump(run)


def test_a_run_that_names_the_version_of_an_earlier_run_needs_no_download(
    installation: Installation, finished_demo: dict[str, Any], metadata: dict[str, Any]
):
    """One Job, on the same data mounted read-only; the same question, and as many figures on the resource."""
    demo = finished_demo["status"]
    installation.kubectl(
        "apply", "-f", "-", input=a_run_of_version("again", demo["dataset"]["fingerprint"][:12])
    )
    installation.kubectl("wait", "--for=condition=Complete", "qsr/again", "--timeout=600s")
    again = installation.get("qsr", "again")
    status = again["status"]
    assert [stage["name"] for stage in status["stages"]] == ["qrun"]
    assert conditions(again) == conditions(finished_demo)
    assert status["configHash"] == demo["configHash"]
    assert status["metrics"] == demo["metrics"]
    assert status["dataset"] == demo["dataset"]
    [pod] = installation.pods_of("again")
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    resolved = demo["dataset"]["resolvedPath"]
    assert [m for m in mounts if m["mountPath"] == resolved and m.get("readOnly")], mounts
    _, row = installation.kubectl("get", "qsr", "again").splitlines()
    assert demo["dataset"]["calendarEnd"] in row
    folder = installation.on_host(status["artifactPath"])
    told = json.loads((folder / "RUN_METADATA.json").read_text())
    assert told["dataset_source"] == metadata["dataset_source"]
    assert list(told["stages"]) == ["qrun"]
    done = qlib_shadow("verify", folder, "--data", installation.data)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_version_that_is_not_there_fails_with_those_that_are(
    installation: Installation, finished_demo: dict[str, Any]
):
    """And is not in the way of a run that makes one."""
    installation.kubectl("apply", "-f", "-", input=a_run_of_version("unknown-version", "0" * 12))
    installation.kubectl("wait", "--for=condition=Failed", "qsr/unknown-version", f"--timeout={PATIENCE}s")
    status = installation.get("qsr", "unknown-version")["status"]
    (failed,) = [c for c in status["conditions"] if c["type"] == "Failed"]
    assert failed["reason"] == "DatasetMissing"
    assert finished_demo["status"]["dataset"]["fingerprint"][:12] in failed["message"]
    assert "run once with spec.dataset.source instead" in failed["message"]
    assert [(stage["name"], stage["attempts"]) for stage in status["stages"]] == [("qrun", 1)]


def test_a_run_over_a_missing_dataset_fails_with_a_remedy(installation: Installation):
    """The reason and message on the resource are enough to act on."""
    run = yaml.safe_load(DEMO.read_text())
    run["metadata"]["name"] = "nothing-there"
    run["spec"] = {"dataset": {"path": "/data/qlib/qlib_data/nowhere", "source": {"existing": {}}}}
    installation.kubectl("apply", "-f", "-", input=yaml.safe_dump(run))
    installation.kubectl("wait", "--for=condition=Failed", "qsr/nothing-there", f"--timeout={PATIENCE}s")
    status = installation.get("qsr", "nothing-there")["status"]
    (failed,) = [c for c in status["conditions"] if c["type"] == "Failed"]
    assert failed["reason"] == "DatasetMissing"
    assert "/data/qlib/qlib_data/nowhere" in failed["message"]
    assert status["stages"][0]["attempts"] == 1  # a user's error is not retried
    described = installation.kubectl("describe", "qsr", "nothing-there")
    assert "DatasetMissing" in described


def test_deleted_run_loses_its_jobs_but_not_its_artifacts(installation: Installation, folder: Path):
    """No finalizer blocks the deletion; Kubernetes deletes what the run owns; files on the volume stay."""
    second = yaml.safe_load(DEMO.read_text())
    second["metadata"]["name"] = "short-lived"
    installation.kubectl("apply", "-f", "-", input=yaml.safe_dump(second))
    installation.kubectl("wait", "--for=condition=DatasetReady", "qsr/short-lived", f"--timeout={PATIENCE}s")
    live = installation.get("qsr", "short-lived")
    assert not live["metadata"].get("finalizers")
    installation.kubectl("delete", "qsr", "short-lived", f"--timeout={PATIENCE}s")
    selector = "qlibshadow.io/run=short-lived"
    installation.kubectl("wait", "--for=delete", "jobs", "-l", selector, f"--timeout={PATIENCE}s")
    assert installation.on_host(live["status"]["artifactPath"]).is_dir()
    assert (folder / "RUN_METADATA.json").is_file()

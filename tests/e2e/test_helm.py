"""Releases of the chart on a real cluster: installed, tried, upgraded, rolled back, removed; two share a CRD.

One story, told in order, since a release has a history; each step is a test of its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from release import CHART, CLAIM, CRD, TINY, Release, older_chart
from testcluster import PATIENCE, binaries, provider, wait_for
from testcluster.cluster import Borrowed
from testcluster.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testcluster import Cluster
    from testcluster.images import Images

pytestmark = pytest.mark.cluster
SCHEDULE = {"name": "nightly", "cron": "30 18 * * 1-5", "suspend": True}
NEW_FIELD = {"workflow": {"model": {"num_boost_round": 20}, "exchange": {"impactCost": 0.001}}}


@pytest.fixture(scope="module")
def apart(cluster: Cluster, images: Images) -> Iterator[Cluster]:
    """Yield a separate cluster: a CRD belongs to a whole cluster, and here it is installed and removed."""
    if isinstance(cluster.machine, Borrowed):
        yield cluster
        return
    with provider.obtain() as other:
        for image in (images.runner, images.operator):
            other.load_image(image.archive, image.reference)
        other.load_image(binaries.stage(), binaries.STAGE)
        yield other


@pytest.fixture(scope="module")
def brief(apart: Cluster) -> dict[str, Any]:
    """Let a run's stages end at once, where it is enough that some operator runs them."""
    return {} if isinstance(apart.machine, Borrowed) else {"image": binaries.STAGE}


@pytest.fixture(scope="module")
def folder(us: Release) -> Path:
    """Return the volume of the first release."""
    return us.prepare()


@pytest.fixture(scope="module")
def us(apart: Cluster, helm: Path, images: Images) -> Release:
    """Return the first release, which installs the CRD."""
    return Release(apart, helm, images, "us")


@pytest.fixture(scope="module")
def eu(apart: Cluster, helm: Path, images: Images) -> Release:
    """Return the second release, which finds the CRD installed."""
    release = Release(apart, helm, images, "eu")
    release.prepare()
    return release


def test_helm_test_runs_the_trial(us: Release, folder: Path, tmp_path: Path):
    """An earlier version is installed; `helm test` creates a tiny run, and its figures are in the log."""
    us.put(older_chart(tmp_path))
    told = us.helm("test", us.name, "--timeout=10m", "--logs")
    assert "Phase:          Succeeded" in told
    assert told.count("POD LOGS: us-qlib-shadow-operator-trial") == 1, "helm asks for the log of each hook"
    assert "Running qrun" in told
    assert "artifacts stay at /data/artifacts/trading-ops/qlib-shadow/trial-" in told
    assert len(list((folder / "artifacts/trading-ops/qlib-shadow").glob("trial-*/metrics.json"))) == 1
    assert us.kubectl("get", "qsr", "--output=name") == "", "the trial cleans up after itself"


def test_upgrade_adds_new_fields_to_the_crd(us: Release):
    """What the earlier version refused is accepted; a crds/ folder would not have been upgraded."""
    with pytest.raises(CommandError, match="impactCost"):
        us.run("early", **NEW_FIELD)
    us.put(CHART)
    us.run("first", **NEW_FIELD)
    assert us.wait_for("first")["spec"]["workflow"]["exchange"] == {"impactCost": 0.001}


def test_wrong_setting_leaves_the_operator_at_work(us: Release, brief: dict[str, Any]):
    """The next operator cannot start and says why; the one before goes on until it can."""
    us.helm("upgrade", us.name, CHART, *us.values(), "--set=operator.env.QLIB_SHADOW_WORKERS=many")
    wait_for(lambda: "QLIB_SHADOW_WORKERS is" in us.last_messages(), PATIENCE, "the refusal")
    us.run("meanwhile", **brief)
    us.wait_for("meanwhile")
    us.put(CHART, "--set=prune.enabled=true", "--set=prune.dryRun=true")


def test_volume_is_pruned_by_the_charts_cronjob(us: Release):
    """As the stages' user, on the claim, by the documented command."""
    us.kubectl("create", "job", "--from=cronjob/us-qlib-shadow-operator-prune", "prune-now")
    us.kubectl("wait", "job/prune-now", "--for=condition=Complete", f"--timeout={PATIENCE}s")
    assert " would be removed, " in us.kubectl("logs", "job/prune-now")


def test_a_second_release_shares_the_crd(eu: Release, us: Release, brief: dict[str, Any]):
    """It leaves the first one's CRD alone, and runs its own namespace's runs only, here of a schedule."""
    before = us.cluster.get("crd", CRD)
    schedules = [SCHEDULE | {"run": {"spec": TINY | brief}}]
    eu.put(CHART, f"--set-json=schedules={json.dumps(schedules)}")
    after = us.cluster.get("crd", CRD)
    assert after["metadata"]["annotations"]["meta.helm.sh/release-name"] == us.name
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    eu.kubectl("create", "job", "--from=cronjob/nightly", "second")
    eu.kubectl("wait", "qsr/second", "--for=create", f"--timeout={PATIENCE}s")
    eu.wait_for("second")
    log = us.kubectl("logs", "deployment/us-qlib-shadow-operator")
    assert "us/first" in log
    assert "eu/second" not in log


def test_rollback_keeps_runs(us: Release, brief: dict[str, Any]):
    """The earlier CRD is restored; the run with an unknown field can still be read."""
    us.helm("rollback", us.name, "1", "--wait", f"--timeout={PATIENCE}s")
    with pytest.raises(CommandError, match="impactCost"):
        us.run("late", **NEW_FIELD)
    assert us.cluster.get("qsr", "first", "--namespace=us")["status"]["phase"] == "Complete"
    us.run("plain", **brief)
    us.wait_for("plain")


def test_removal_leaves_crd_runs_claim_and_artifacts(us: Release, folder: Path):
    """And waits for nothing: a run has no finalizer, so it can be deleted without an operator."""
    us.helm("uninstall", us.name, "--wait", f"--timeout={PATIENCE}s")
    assert us.kubectl("get", "deployments,roles,networkpolicies", "--output=name") == ""
    assert us.cluster.get("crd", CRD)
    assert us.cluster.is_bound("us", CLAIM)
    assert (folder / "qlib/qlib_data/us_data_1d").exists()
    kept = us.cluster.get("qsr", "first", "--namespace=us")
    assert "finalizers" not in kept["metadata"]
    artifacts = folder / kept["status"]["artifactPath"].removeprefix("/data/")
    us.kubectl("delete", "qsr", "first", f"--timeout={PATIENCE}s")
    assert (artifacts / "metrics.json").is_file()


def test_another_release_can_take_over_the_crd(eu: Release, brief: dict[str, Any]):
    """After the release that installed it is removed."""
    eu.put(CHART, "--set=crd.manage=always", "--take-ownership")
    owner = eu.cluster.get("crd", CRD)["metadata"]["annotations"]["meta.helm.sh/release-name"]
    assert owner == eu.name
    eu.run("third", **NEW_FIELD, **brief)
    eu.wait_for("third")


def test_removal_deletes_everything_on_request(eu: Release):
    """By one value each for the CRD with all runs, and for the claim."""
    eu.put(CHART, "--set=crd.manage=always", "--set=crd.keep=false", "--set=storage.keep=false")
    eu.helm("uninstall", eu.name, "--wait", f"--timeout={PATIENCE}s")
    assert eu.cluster.get("crd", CRD) == {}
    assert eu.kubectl("get", "persistentvolumeclaims", "--output=name") == ""

"""The operator's replicas and how they are replaced, the trial of `helm test`, the registry, the claim."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.chart.conftest import CHART

from testcluster.commands import run
from testcluster.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path

    from testcluster import Cluster

Render = Any
Install = Any
NAME = "research/us-qlib-shadow-operator"
SCHEDULE: dict[str, Any] = {"name": "nightly", "cron": "@daily", "run": {"spec": {}}}
pytestmark = pytest.mark.cluster


def test_operator_is_replaced_when_the_next_one_is_ready(render: Render):
    """One that cannot start, by a wrong setting or image, does not take the only one down."""
    [spec] = [render()["Deployment", NAME]["spec"]]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }


def test_replicas_are_spread_and_evicted_one_at_a_time(render: Render):
    """One replica has no budget, which would only keep a node from being drained."""
    objects = render(operator={"replicas": 2})
    spec = objects["Deployment", NAME]["spec"]
    assert spec["replicas"] == 2
    [spread] = spec["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == (
        "kubernetes.io/hostname",
        "ScheduleAnyway",
    )
    assert spread["labelSelector"] == spec["selector"]
    budget = objects["PodDisruptionBudget", NAME]["spec"]
    assert (budget["maxUnavailable"], budget["selector"]) == (1, spec["selector"])
    own = [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]
    mine = render(operator={"replicas": 2, "topologySpreadConstraints": own})["Deployment", NAME]
    assert mine["spec"]["template"]["spec"]["topologySpreadConstraints"] == own
    assert not [kind for kind, _ in render() if kind == "PodDisruptionBudget"]


def test_global_registry_goes_before_each_images_own(render: Render):
    """Also before the registry of a released chart, so that a mirror is one value."""
    values = {"ui": {"enabled": True}, "prune": {"enabled": True}, "schedules": [SCHEDULE]}
    image = {"registry": "ghcr.io/example"}
    objects = render(
        **{"global": {"imageRegistry": "mirror.example/qlib", "imagePullSecrets": []}},
        operator={"image": image},
        runner={"image": image},
        **values,
    )
    images = set(
        re.findall(r"[\w./-]*qlib-(?:runner|shadow-operator):[\d.]+", yaml.safe_dump_all(objects.values()))
    )
    assert images == {
        "mirror.example/qlib/qlib-runner:0.1.0",
        "mirror.example/qlib/qlib-shadow-operator:0.1.0",
    }


def test_only_the_trials_pod_is_a_hook(render: Render):
    """In the release's own namespace: helm asks for the log of each hook, and only there."""
    objects = render(namespaces=["desk-a", "desk-b"])
    hooks = [key for key, one in objects.items() if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    assert hooks == [("Pod", f"{NAME}-trial")]
    [container] = objects["Pod", f"{NAME}-trial"]["spec"]["containers"]
    assert {"name": "QLIB_SHADOW_NAMESPACE", "value": "desk-a"} in container["env"]
    [subject] = objects["RoleBinding", "desk-a/us-qlib-shadow-operator-trial"]["subjects"]
    assert (subject["name"], subject["namespace"]) == ("us-qlib-shadow-operator-trial", "research")
    assert ("ServiceAccount", f"{NAME}-trial") in objects


def test_chart_says_whose_it_is(helm: Path):
    """Where it comes from is what the images say; the icon is in the chart, and no other host is asked."""
    chart = yaml.safe_load(run(helm, "show", "chart", CHART))
    [source] = re.findall(
        r"^ARG SOURCE=(.+)$", (CHART.parents[1] / "images/operator/Dockerfile").read_text(), re.MULTILINE
    )
    assert (chart["home"], chart["sources"]) == (source, [source])
    assert [one["name"] for one in chart["maintainers"]] == ["qlib-shadow"]
    assert chart["icon"].startswith("data:image/svg+xml;base64,")


def test_notes_say_when_the_claim_is_pending(install: Install):
    """A storage class may wait for the first pod; an existing claim is only named."""
    notes = install(crd={"manage": "never"})
    assert "It is Pending until it has a volume" in notes
    assert "kubectl describe -n research pvc qlib-shadow-data" in notes
    assert "Pending" not in install(crd={"manage": "never"}, storage={"create": False})


def test_claim_of_another_release_is_refused_with_what_to_do(cluster: Cluster, namespace: str, helm: Path):
    """A claim stays when its release goes; that one finds it again, another one is told how to use it."""

    def install(release: str, *more: str) -> str:
        where = (f"--namespace={namespace}", f"--kubeconfig={cluster.kubeconfig}", "--set=crd.manage=never")
        return run(helm, "install", release, CHART, "--dry-run=server", *where, *more)

    cluster.apply(kept("us", namespace))
    assert "kind: PersistentVolumeClaim" in install("us")
    sentence = (
        f"the claim qlib-shadow-data in {namespace} is there already and is not this release's; to use it"
    )
    with pytest.raises(CommandError, match=sentence):
        install("eu")
    assert "kind: PersistentVolumeClaim" not in install("eu", "--set=storage.create=false")
    assert "name: another" in install("eu", "--set=storage.claimName=another")


def kept(release: str, namespace: str) -> dict[str, Any]:
    """Return the claim that a removed release has left."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "qlib-shadow-data",
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {
                "meta.helm.sh/release-name": release,
                "meta.helm.sh/release-namespace": namespace,
            },
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }

"""The CronJob that prunes the volume: the documented command, the runs' user, and no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from qlib_shadow_runner.cli import amounts
from testcluster.errors import CommandError

if TYPE_CHECKING:
    from testcluster import Cluster

Render = Any
PLACE = "research/us-qlib-shadow-operator-prune"
SAMPLE = Path(__file__).parents[2] / "manifests/samples/prune.yaml"
pytestmark = pytest.mark.cluster


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of a CronJob's pods."""
    found: dict[str, Any] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def test_pruning_is_off_by_default(render: Render):
    """It removes files, so a value has to ask for it."""
    assert not [place for _, place in render() if place.endswith("-prune")]


def test_default_values_equal_the_sample(render: Render):
    """The same pod, times and limits."""
    objects = render(prune={"enabled": True})
    job, policy = objects["CronJob", PLACE], objects["NetworkPolicy", PLACE]
    sample, closed = yaml.safe_load_all(SAMPLE.read_text())
    assert pod_of(job) == pod_of(sample)
    for one in (job, sample):
        del one["spec"]["jobTemplate"]["spec"]["template"]
    assert job["spec"] == sample["spec"]
    assert (closed["kind"], closed["spec"]["policyTypes"]) == ("NetworkPolicy", ["Ingress", "Egress"])
    for one in (policy, closed):
        del one["spec"]["podSelector"]
    assert policy["spec"] == closed["spec"]


def test_samples_policy_selects_its_pods():
    """And nothing else of qlib-shadow."""
    sample, policy = yaml.safe_load_all(SAMPLE.read_text())
    selected = policy["spec"]["podSelector"]["matchLabels"]
    assert selected == sample["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert selected["app.kubernetes.io/component"] == "prune"


def test_its_pod_goes_where_runs_go_unless_told_otherwise(render: Render):
    """The volume is where runs are; each value replaces that of `runs`."""
    tolerations = [{"key": "research", "operator": "Exists"}]
    runs = {"nodeSelector": {"pool": "research"}, "tolerations": tolerations}
    pod = pod_of(render(prune={"enabled": True}, runs=runs)["CronJob", PLACE])
    assert (pod["nodeSelector"], pod["tolerations"]) == (runs["nodeSelector"], tolerations)
    own = {"nodeSelector": {"disk": "ssd"}}
    pod = pod_of(render(prune={"enabled": True, **own}, runs=runs)["CronJob", PLACE])
    assert (pod["nodeSelector"], pod["tolerations"]) == (own["nodeSelector"], tolerations)


def test_values_become_the_commands_options(render: Render):
    """By the runner's image and user, in each namespace of runs."""
    image = {"repository": "mine", "tag": "7", "pullSecrets": ["registry"]}
    objects = render(
        namespaces=["a", "b"],
        runner={"uid": 1000, "gid": 2000, "image": image},
        storage={"create": False, "claimName": "desk-data"},
        prune={
            "enabled": True,
            "cron": "@daily",
            "timeZone": "Europe/Paris",
            "keep": 5,
            "olderThanDays": 7,
            "maxSize": "200G",
            "dryRun": True,
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"operator": "Exists"}],
        },
    )
    for namespace in ("a", "b"):
        job = objects["CronJob", f"{namespace}/us-qlib-shadow-operator-prune"]
        assert (job["spec"]["schedule"], job["spec"]["timeZone"]) == ("@daily", "Europe/Paris")
        pod = pod_of(job)
        [container] = pod["containers"]
        limits = ["--keep", "5", "--older-than", "7", "--max-size", "200G"]
        assert container["args"] == ["prune", "--data", "/data", *limits, "--dry-run"]
        assert container["image"] == "mine:7"
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert (pod["nodeSelector"], pod["tolerations"]) == ({"disk": "ssd"}, [{"operator": "Exists"}])
        user = {"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 2000}
        assert user.items() <= pod["securityContext"].items()
        assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "desk-data"}


def test_its_pod_is_restricted_and_has_no_network(render: Render):
    """No root, no writing outside the volume, no token, and a policy that selects it and allows nothing."""
    objects = render(prune={"enabled": True})
    template = objects["CronJob", PLACE]["spec"]["jobTemplate"]["spec"]["template"]
    assert template["spec"]["automountServiceAccountToken"] is False
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    [container] = template["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    policy = objects["NetworkPolicy", PLACE]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert (set(policy["policyTypes"]), len(policy)) == ({"Ingress", "Egress"}, 2)
    assert ("NetworkPolicy", PLACE) not in render(prune={"enabled": True}, networkPolicy={"enabled": False})


@pytest.mark.parametrize("size", ["200G", "1.5T", "10GiB", "500", "10Gi", "big", "-1G"])
def test_size_that_the_command_refuses_is_refused(render: Render, size: str):
    """And none that it takes."""
    try:
        amounts.size(size, "--max-size")
    except Exception:  # noqa: BLE001 - whatever it says, the chart must say it first
        with pytest.raises(CommandError, match="maxSize"):
            render(prune={"enabled": True, "maxSize": size})
    else:
        assert ("CronJob", PLACE) in render(prune={"enabled": True, "maxSize": size})


def test_longest_name_is_accepted(render: Render, cluster: Cluster):
    """A CronJob's name may have 52 characters, since its Jobs append their time."""
    objects = render("u" * 50, prune={"enabled": True})
    [job] = [one for (kind, _), one in objects.items() if kind == "CronJob"]
    job["metadata"]["namespace"] = "default"
    said = cluster.kubectl("create", "--dry-run=server", "--filename=-", input=yaml.safe_dump(job))
    assert "created (server dry run)" in said

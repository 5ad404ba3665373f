"""Every kustomization and every sample in manifests/ is accepted by a real API server."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from installation import ROOT
from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.jobs import build_job

if TYPE_CHECKING:
    from pathlib import Path

    from installation import Installation
    from testcluster import Cluster

pytestmark = pytest.mark.cluster

MANIFESTS = ROOT / "manifests"
STRICT = ("--dry-run=server", "--validate=strict", "--warnings-as-errors")
WHOLE = (".", "overlays/namespaced", "overlays/cluster-wide", "overlays/development")
"""Kustomizations that install an operator."""
RESOLVED = "/data/qlib/qlib_data/us_data_1d@3f9c"
PARTS = ("crd", "network-policy", "schedules")
"""Kustomizations that are also applied by themselves."""


def build(cluster: Cluster, folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Build a kustomization with kubectl's own kustomize; return its objects by kind and name."""
    built = yaml.safe_load_all(cluster.kubectl("kustomize", str(folder)))
    return {(one["kind"], one["metadata"]["name"]): one for one in built}


def test_every_kustomization_is_tested():
    """Each is applied here, or is part of one that is."""
    found = {path.parent.relative_to(MANIFESTS).as_posix() for path in MANIFESTS.rglob("kustomization.yaml")}
    assert found == {*WHOLE, *PARTS, "base", "operator", "rbac"}


@pytest.mark.parametrize("folder", [*WHOLE, *PARTS])
def test_kustomization_is_accepted(installation: Installation, folder: str):
    """Every field exists, and the namespace, which enforces "restricted", gives no warning."""
    built = installation.cluster.kubectl("kustomize", str(MANIFESTS / folder)).split("\n---\n")
    # The claim of an overlay must not replace the existing one.
    given = [one.replace(" name: qlib-shadow-data", " name: another") for one in built]
    said = installation.cluster.kubectl("apply", *STRICT, "--filename=-", input="\n---\n".join(given))
    assert said.count("(server dry run)") == len(built)


def test_differences_of_the_overlays(cluster: Cluster):
    """The watched namespaces; for development, also the origin of images and data."""
    rights = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}

    def of(folder: str) -> tuple[set[str], dict[str, Any]]:
        built = build(cluster, MANIFESTS / folder)
        [container] = built["Deployment", "qlib-shadow-operator"]["spec"]["template"]["spec"]["containers"]
        env = {one["name"]: one.get("value", "its own") for one in container["env"]}
        return {kind for kind, _ in built}, env | {"policy": container["imagePullPolicy"]}

    default, namespaced = of(".")
    assert (default, namespaced) == of("overlays/namespaced")
    assert default & rights == {"Role", "RoleBinding"}
    assert namespaced["QLIB_SHADOW_NAMESPACES"] == "its own"
    everywhere, settings = of("overlays/cluster-wide")
    assert everywhere & rights == {"ClusterRole", "ClusterRoleBinding"}
    assert "QLIB_SHADOW_NAMESPACES" not in settings
    development, settings = of("overlays/development")
    assert development - default == {"PersistentVolume", "PersistentVolumeClaim"}
    assert (settings["policy"], settings["QLIB_SHADOW_RUNNER_IMAGE_PULL_POLICY"]) == ("Never", "Never")


def test_rights_of_schedules_go_to_any_namespace(cluster: Cluster):
    """By the command of docs/schedules.md, whose account is then the one of that namespace."""
    [said] = re.findall(
        r"manifests/schedules \| sed 's/(.+)/(.+)/'", (ROOT / "docs/schedules.md").read_text()
    )
    text = cluster.kubectl("kustomize", str(MANIFESTS / "schedules")).replace(*said)
    objects = [one for one in yaml.safe_load_all(text) if one]
    assert {one["metadata"]["namespace"] for one in objects} == {"research"}
    [subject] = [one["subjects"][0] for one in objects if "subjects" in one]
    assert (subject["name"], subject["namespace"]) == ("qlib-shadow-schedule", "research")


def test_users_overlay_of_the_docs_works(cluster: Cluster, tmp_path: Path):
    """The one in docs/install.md: another namespace, images from a registry, one more setting."""
    page = (ROOT / "docs/install.md").read_text()
    (tmp_path / "manifests").symlink_to(MANIFESTS)
    [written] = re.findall(r"```yaml own/kustomization\.yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/kustomization.yaml").write_text(written)
    built = build(cluster, tmp_path / "own")
    assert ("Namespace", "research") in built
    assert {one["metadata"].get("namespace", "research") for one in built.values()} == {"research"}
    assert built["RoleBinding", "qlib-shadow-operator"]["subjects"][0]["namespace"] == "research"
    [container] = built["Deployment", "qlib-shadow-operator"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/research/qlib-shadow-operator:0.1.0"
    env = {one["name"]: one.get("value") for one in container["env"]}
    assert env["QLIB_SHADOW_RUNNER_IMAGE"] == "registry.example/research/qlib-runner:0.1.0"
    assert {"QLIB_SHADOW_NAMESPACES", "QLIB_SHADOW_CLAIM_NAME"} < set(env)


@pytest.fixture
def made(installation: Installation, namespace: str) -> list[dict[str, Any]]:
    """Return the samples as the API server would store them."""
    folder = f"--filename={MANIFESTS / 'samples'}"
    apply = ("apply", f"--namespace={namespace}", *STRICT, folder, "--output=json")
    found: list[dict[str, Any]] = json.loads(installation.cluster.kubectl(*apply))["items"]
    return found


def test_every_sample_is_accepted(installation: Installation, namespace: str, made: list[dict[str, Any]]):
    """So are the Jobs that the operator creates for it, with their placement."""
    given = [
        one for path in (MANIFESTS / "samples").glob("*.yaml") for one in yaml.safe_load_all(path.read_text())
    ]
    assert len(made) == len(given)
    runs = [parse_run(one) for one in made if one["kind"] == "QlibShadowRun"]
    jobs = [build_job(run, stage, Defaults(), RESOLVED) for run in runs for stage in run.stages]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": jobs})
    said = installation.cluster.kubectl(
        "apply", f"--namespace={namespace}", *STRICT, "--filename=-", input=listed
    )
    assert said.count("created (server dry run)") == len(jobs) == 20


OPEN = {"train": [None, "2018-01-02"], "valid": [None, None], "test": ["2020-01-02", None]}


def test_segments_may_have_open_ends(installation: Installation):
    """As a document of its own; kubectl itself refuses null where it is in the items of a List."""

    def apply(workflow: dict[str, Any]) -> str:
        run = {"apiVersion": "qlibshadow.io/v1alpha1", "kind": "QlibShadowRun", "metadata": {"name": "open"}}
        text = json.dumps(run | {"spec": {"workflow": workflow}})
        return installation.cluster.kubectl("apply", *STRICT, "--filename=-", input=text)

    assert "(server dry run)" in apply({"segments": OPEN})
    with pytest.raises(Exception, match="of two neighbouring ends at most one is open"):
        apply({"segments": OPEN | {"train": [None, None]}})
    with pytest.raises(Exception, match=r"takes segments \(fixed days\) or window"):
        apply({"segments": OPEN, "window": {}})

"""The manifests: least privilege, the strictest Pod Security Standard, and settings that exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.names import LABEL_MANAGED_BY, LABEL_STAGE, MANAGER
from qlib_shadow_operator.settings import read_settings

MANIFESTS = Path(__file__).parents[2] / "manifests"
FOLDERS = [path.parent for path in sorted(MANIFESTS.rglob("kustomization.yaml"))]


def load(path: str) -> Any:
    """Return a manifest."""
    return yaml.safe_load((MANIFESTS / path).read_text())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(MANIFESTS).as_posix())
def test_kustomization_names_existing_files(folder: Path):
    """Files, and folders that have their own kustomization."""
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        path = folder / name
        assert path.is_file() or (path / "kustomization.yaml").is_file()


@pytest.mark.parametrize(
    "folder", [f for f in FOLDERS if f.name in {"crd", "operator", "rbac", "network-policy"}]
)
def test_every_manifest_is_in_its_kustomization(folder: Path):
    """Each file of a component is in its kustomization."""
    listed = set(yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"])
    assert {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"} == listed


def test_operator_role_is_minimal():
    """No Secrets, no exec, no wildcards."""
    rights = {
        (group, resource): set(rule["verbs"])
        for rule in load("rbac/role.yaml")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert rights == {
        ("qlibshadow.io", "qlibshadowruns"): {"get", "list", "watch", "delete"},
        ("qlibshadow.io", "qlibshadowruns/status"): {"patch"},
        ("batch", "jobs"): {"get", "list", "watch", "create", "patch", "delete"},
        ("", "pods"): {"get", "list", "watch"},
        ("events.k8s.io", "events"): {"create", "list"},
        ("networking.k8s.io", "networkpolicies"): {"list"},
    }


def test_cluster_wide_role_has_the_same_rules():
    """Only their scope differs."""
    assert load("overlays/cluster-wide/clusterrole.yaml")["rules"] == load("rbac/role.yaml")["rules"]


def test_the_operators_pod_is_restricted():
    """The namespace enforces it."""
    labels = load("operator/namespace.yaml")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    deployment = load("operator/deployment.yaml")["spec"]
    pod = deployment["template"]["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    probes = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
    }
    assert probes == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}


def test_the_operators_settings_exist_and_match_the_samples():
    """A misspelt variable would stop the operator."""
    [container] = load("operator/deployment.yaml")["spec"]["template"]["spec"]["containers"]
    settings = read_settings({one["name"]: one.get("value", "research") for one in container["env"]})
    assert settings.namespaces == ("research",)
    assert settings.defaults.image == Defaults().image
    assert settings.defaults.claim_name == load("samples/claim.yaml")["metadata"]["name"]


def test_the_network_policy_selects_pods_of_the_operator_and_lets_nothing_through():
    """Which stages it selects is in test_stages."""
    spec = load("network-policy/qrun.yaml")["spec"]
    stages = {"key": LABEL_STAGE, "operator": "In", "values": ["qrun", "ledger"]}
    selector = {"matchLabels": {LABEL_MANAGED_BY: MANAGER}, "matchExpressions": [stages]}
    assert spec == {"podSelector": selector, "policyTypes": ["Ingress", "Egress"]}

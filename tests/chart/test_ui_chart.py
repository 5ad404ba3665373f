"""`ui.enabled`: the pages in the cluster, with no rights but those requested, and always with a token."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from qlib_shadow_runner.cli.parser import build_parser
from testcluster.errors import CommandError

Render = Any
NAME = "us-qlib-shadow-operator-ui"
pytestmark = pytest.mark.cluster


def pod(objects: Any, namespace: str = "research") -> dict[str, Any]:
    """Return the pod that serves the pages."""
    spec: dict[str, Any] = objects["Deployment", f"{namespace}/{NAME}"]["spec"]["template"]["spec"]
    return spec


def test_pages_are_off_by_default(render: Render):
    """By default there are none."""
    assert not [place for _, place in render() if place.endswith("-ui")]


@pytest.mark.parametrize("namespaces", [[], ["a", "b"]], ids=["its own namespace", "others"])
def test_they_are_served_where_runs_are(render: Render, namespaces: list[str]):
    """From that namespace's claim, mounted read-only."""
    objects = render(ui={"enabled": True}, namespaces=namespaces, storage={"claimName": "mine"})
    for namespace in namespaces or ["research"]:
        spec = pod(objects, namespace)
        [container] = spec["containers"]
        [volume] = spec["volumes"]
        assert volume["persistentVolumeClaim"] == {"claimName": "mine", "readOnly": True}
        assert container["volumeMounts"] == [{"name": "data", "mountPath": "/data", "readOnly": True}]
        service = objects["Service", f"{namespace}/{NAME}"]["spec"]
        labels = objects["Deployment", f"{namespace}/{NAME}"]["spec"]["template"]["metadata"]["labels"]
        assert service["selector"].items() <= labels.items()
        [port] = service["ports"]
        assert {"name": port["targetPort"], "containerPort": 8321} in container["ports"]


def test_container_runs_the_ui_command(render: Render):
    """On every address of the pod, always with a token."""
    [container] = pod(render(ui={"enabled": True}))["containers"]
    options = build_parser().parse_args(container["args"])
    assert (options.command, options.host, options.port) == ("ui", "0.0.0.0", "8321")
    assert "env" not in container


def test_the_token_comes_from_a_secret(render: Render):
    """It is in no manifest."""
    [container] = pod(render(ui={"enabled": True, "tokenSecret": "runs-token"}))["containers"]
    reference = {"secretKeyRef": {"name": "runs-token", "key": "token"}}
    assert container["env"] == [{"name": "QLIB_SHADOW_UI_TOKEN", "valueFrom": reference}]


def test_pod_has_no_rights(render: Render):
    """No API token, no root, no writable file, no capability, and no egress."""
    objects = render(ui={"enabled": True})
    spec = pod(objects)
    [container] = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    policy = objects["NetworkPolicy", f"research/{NAME}"]["spec"]
    assert (policy["policyTypes"], policy["egress"]) == (["Egress"], [])
    labels = objects["Deployment", f"research/{NAME}"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    operator = objects["Deployment", "research/us-qlib-shadow-operator"]["spec"]["selector"]["matchLabels"]
    assert not operator.items() <= labels.items()


@pytest.mark.parametrize("namespaces", [[], ["a", "b"]], ids=["its own namespace", "others"])
def test_resources_are_shown_on_request(render: Render, namespaces: list[str]):
    """By its own account, which may list runs in that namespace and nothing else."""
    objects = render(ui={"enabled": True, "showResources": True}, namespaces=namespaces)
    for namespace in namespaces or ["research"]:
        place = f"{namespace}/{NAME}"
        spec = pod(objects, namespace)
        assert spec["serviceAccountName"] == NAME
        assert "--resources" in spec["containers"][0]["args"]
        assert build_parser().parse_args(spec["containers"][0]["args"]).resources
        assert ("ServiceAccount", place) in objects
        [rule] = objects["Role", place]["rules"]
        assert (rule["apiGroups"], rule["resources"]) == (["qlibshadow.io"], ["qlibshadowruns"])
        assert rule["verbs"] == ["get", "list", "watch"]
        binding = objects["RoleBinding", place]
        assert binding["roleRef"]["name"] == NAME
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}]
        [rule] = objects["NetworkPolicy", place]["spec"]["egress"]
        assert [port["port"] for port in rule["ports"]] == [443, 6443]
    assert not [key for key in objects if key[0].startswith("ClusterRole")]


def test_rbac_create_false_creates_no_rights_for_the_pages(render: Render):
    """With `rbac.create: false` the account is bound elsewhere."""
    objects = render(ui={"enabled": True, "showResources": True}, rbac={"create": False})
    assert ("ServiceAccount", f"research/{NAME}") in objects
    assert not [kind for kind, place in objects if kind.startswith("Role") and place.endswith("-ui")]


def test_pages_run_as_the_stages_do(render: Render):
    """With the user and the image of the stages."""
    image = {"repository": "mine", "tag": "7", "pullSecrets": ["registry"]}
    values = {"runner": {"uid": 1000, "gid": 2000, "image": image}, "commonAnnotations": {"a": "b"}}
    where = {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}]}
    spec = pod(render(ui={"enabled": True, **where}, **values))
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"]) == (1000, 2000)
    assert spec["containers"][0]["image"] == "mine:7"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert (spec["nodeSelector"], spec["tolerations"]) == (where["nodeSelector"], where["tolerations"])


@pytest.mark.parametrize(
    "wrong", [{"enable": True}, {"enabled": "yes"}, {"tokenSecret": "My Secret"}, {"showResources": 1}]
)
def test_wrong_values_are_refused(render: Render, wrong: dict[str, object]):
    """By their names."""
    with pytest.raises(CommandError) as refused:
        render(ui=wrong)
    assert re.search(rf"ui|{next(iter(wrong))}", str(refused.value))
    assert "values don't meet the specifications of the schema" in str(refused.value)


def test_pages_change_no_other_object(render: Render):
    """Enabling the pages changes no other object."""
    with_pages = {key: one for key, one in render(ui={"enabled": True}).items() if not key[1].endswith("-ui")}
    assert yaml.safe_dump(sorted(with_pages)) == yaml.safe_dump(sorted(render()))

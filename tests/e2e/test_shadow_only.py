"""A training that tries to reach the network ends the run, on a real node and with the operator.

The vetting of workflows refuses foreign code, so the attempts are in a separate image: the runner's, with a
hostile library inside the process of qrun. An image is the only remaining way in.
"""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from installation import DEMO
from testcluster import cache, waiting
from testcluster import images as project_images
from testcluster.engines import engine

if TYPE_CHECKING:
    from installation import Installation
    from testcluster import Cluster

pytestmark = pytest.mark.cluster

HOSTILE = Path(__file__).parent / "support" / "hostile.py"
DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
USER 0
COPY hostile.py hostile.pth address qrun /hostile/
RUN cp /hostile/hostile.* \\
    "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')"
USER 10001:10001
"""
SMALL = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}}
"""So small that all fit on the one node."""
ATTACKS = ("python", "child", "native", "udp")


@pytest.fixture(scope="module")
def address(cluster: Cluster) -> str:
    """Return an address that every pod can reach: the API server's."""
    service = cluster.get("service", "kubernetes", "--namespace=default")["spec"]
    return f"{service['clusterIP']} {service['ports'][0]['port']}"


@pytest.fixture(scope="module")
def hostile_image(cluster: Cluster, address: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the runner's image with the attack in it, and load it onto the node."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "hostile.py").write_bytes(HOSTILE.read_bytes())
    (folder / "hostile.pth").write_text("import hostile\n")
    (folder / "address").write_text(address)
    (folder / "qrun").write_text("import qlib\n")
    # A newer build may have removed its layers since; the image on the node stays as it is.
    base = project_images.build().runner.reference
    reference = f"localhost/qlib-runner-hostile:{cache.digest([base, address, HOSTILE, DOCKERFILE])}"
    engine().build(folder, folder / "Dockerfile", reference, {"BASE_IMAGE": base})
    engine().save(reference, folder / "image.tar")
    cluster.load_image(folder / "image.tar", reference)
    return reference


def run_of(name: str, image: str, **qrun: Any) -> dict[str, Any]:
    """Return a small run in the hostile image."""
    run: dict[str, Any] = yaml.safe_load(DEMO.read_text())
    run["metadata"]["name"] = name
    run["spec"]["image"] = image
    run["spec"]["dataset"]["source"] = {"synthetic": {"symbols": 20, "days": 1000}}
    run["spec"]["stages"] = {"download": {"resources": SMALL}, "qrun": {"resources": SMALL, **qrun}}
    return run


def failure(installation: Installation, name: str) -> dict[str, Any]:
    """Wait until a run has failed, and return its status."""
    installation.kubectl("wait", "--for=condition=Failed", f"qsr/{name}", "--timeout=600s")
    status: dict[str, Any] = installation.get("qsr", name)["status"]
    return status


@pytest.fixture(scope="module")
def broken(installation: Installation, hostile_image: str) -> dict[str, dict[str, Any]]:
    """Apply one run for each attack, all at once, and return their final statuses."""
    for attack in ATTACKS:
        manifest = yaml.safe_dump(run_of(f"{attack}-attack", hostile_image))
        installation.kubectl("apply", "-f", "-", input=manifest)
    return {attack: failure(installation, f"{attack}-attack") for attack in ATTACKS}


def control_pod(attack: str, image: str) -> dict[str, Any]:
    """Return a pod that does the same as the run, without the guard."""
    container = {
        "name": "attack",
        "image": image,
        "command": ["python", "/hostile/qrun", f'--experiment_name="{attack}-attack"', "--uri_folder=mlruns"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"control-{attack}"},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_ends_the_run_and_is_named(broken: dict[str, dict[str, Any]], address: str, attack: str):
    """Python, an isolated child process, native code, UDP: each ends the run, and none is retried."""
    status = broken[attack]
    [failed] = [found for found in status["conditions"] if found["type"] == "Failed"]
    assert (failed["status"], failed["reason"]) == ("True", "ShadowPromiseBroken")
    assert f"tried to connect to {address.replace(' ', ':')} (" in failed["message"]
    stages = {stage["name"]: stage for stage in status["stages"]}
    assert (stages["qrun"]["attempts"], stages["download"]["attempts"]) == (1, 1)


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_was_reached(installation: Installation, broken: dict[str, dict[str, Any]], attack: str):
    """The log of the attack shows it, if it lived long enough."""
    folder = installation.on_host(broken[attack]["artifactPath"])
    log = (folder / "stdout.log").read_text()
    assert "REACHED" not in log
    assert "network closed by " in log
    metadata = json.loads((folder / "RUN_METADATA.json").read_text())
    assert {"seccomp-notify", "audit-hook"} <= set(metadata["network_guard"])
    assert metadata["status"] == "failed"
    # The node's container, not only one process of it.
    assert metadata["stages"]["qrun"]["peak_memory_source"].startswith("cgroup v")


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_succeeds_without_the_guard(cluster: Cluster, namespace: str, hostile_image: str, attack: str):
    """The address can be reached from a pod of this image, so the tests above prove something."""
    cluster.apply(control_pod(attack, hostile_image), namespace=namespace)

    def ended() -> bool:
        pod = cluster.get("pod", f"control-{attack}", f"--namespace={namespace}")
        return pod["status"].get("phase") in {"Succeeded", "Failed"}

    waiting.wait_for(ended, 300, "the control to end")
    log = cluster.kubectl("logs", f"control-{attack}", f"--namespace={namespace}")
    assert "REACHED" in log


@pytest.fixture(scope="module")
def seen(installation: Installation, hostile_image: str) -> dict[str, Any]:
    """Return what the process of qrun itself finds that it may do."""
    manifest = run_of("look-around", hostile_image, retries=0)
    installation.kubectl("apply", "-f", "-", input=yaml.safe_dump(manifest))
    status = failure(installation, "look-around")
    log = (installation.on_host(status["artifactPath"]) / "stdout.log").read_text()
    [line] = [line for line in log.splitlines() if line.startswith("SEEN ")]
    found: dict[str, Any] = json.loads(line.removeprefix("SEEN "))
    return found


def test_qrun_cannot_change_its_dataset(seen: dict[str, Any]):
    """The mount is read-only, although the files belong to its own user."""
    assert (seen["dataset"], seen["beside_the_dataset"]) == (errno.EROFS, errno.EROFS)


def test_qrun_has_no_power_over_the_cluster_or_the_node(seen: dict[str, Any]):
    """No token, no root, no capability, no way to gain one, and write access only to its volumes."""
    assert seen["token"] is False
    assert seen["uid"] == 10001
    assert (seen["capabilities"], seen["no_new_privileges"]) == (0, 1)
    assert seen["root_is_read_only"] is True


def test_environment_of_qrun_is_minimal(seen: dict[str, Any]):
    """The environment is a list of allowed variables."""
    assert not [name for name in seen["variables"] if name.startswith(("KUBERNETES_", "QLIB_SHADOW_REQ"))]

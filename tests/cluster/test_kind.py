"""kind without Docker: its configurations, its messages, and what is installed on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import yaml

from testcluster import kind, kind_development
from testcluster.errors import TestClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testcluster import Cluster
    from testcluster.images import Images

HERE = Path(__file__).parent
CONFIGURATIONS = sorted((HERE / "kind").glob("*.yaml"))
NO_DOCKER = (
    "kind: kind needs Docker, and Docker does not answer; start or install it, or do without:"
    " make cluster-up and make cluster-test, as root on Debian\n"
)


@pytest.mark.parametrize("there", [False, True], ids=["no docker", "a docker without an engine"])
@pytest.mark.parametrize("verb", ["up", "demo run.yaml", "down", "check"])
def test_kind_without_docker_is_one_sentence(verb: str, there: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Before anything is built, created or deleted."""
    if there:
        (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "docker").chmod(0o755)
    done = subprocess.run(
        (sys.executable, "-m", "testcluster.kind_development", *verb.split()),
        env={"PATH": str(tmp_path), "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", NO_DOCKER)


def test_unknown_configuration_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """With the existing ones."""
    with pytest.raises(SystemExit) as caught:
        kind_development.main(["up", "two-nodes"])
    assert caught.value.code == 2
    assert "'one-node', 'several-nodes'" in capsys.readouterr().err


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_every_node_has_the_volume(path: Path) -> None:
    """The same folder at the same path, or a run would find its data on one node only; and one version."""
    nodes = yaml.safe_load(kind.configuration(path.stem, Path("/somewhere")))["nodes"]
    mounts = [node["extraMounts"] for node in nodes]
    assert mounts == [[{"hostPath": "/somewhere", "containerPath": kind.ON_NODE}]] * len(nodes)
    assert {node["image"] for node in nodes} == {"kindest/node:v1.34.0"}
    assert (len(nodes) > 1) is (path.stem == "several-nodes")
    volume = yaml.safe_load((kind_development.OVERLAY / "volume.yaml").read_text())["spec"]
    assert volume["hostPath"]["path"] == f"{kind.ON_NODE}/data"
    assert volume["accessModes"] == ["ReadWriteMany"]


@pytest.mark.cluster
@pytest.mark.harness
@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_kind_accepts_the_configurations(path: Path, tmp_path: Path) -> None:
    """The pinned kind, which is strict; without Docker on its path it gets as far as asking for it."""

    def create(text: str) -> str:
        command = (kind.pinned(), "create", "cluster", "--config=-")
        env = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
        return subprocess.run(
            command, input=text, env=env, capture_output=True, text=True, check=False
        ).stderr

    assert '"docker": executable file not found' in create(path.read_text())
    typo = create(path.read_text().replace("extraMounts", "extraMount"))
    assert "field extraMount not found in type v1alpha4.Node" in typo


@pytest.fixture
def installed(cluster: Cluster, images: Images, tmp_path: Path) -> Iterator[str]:
    """Install on any cluster what kind-up installs on kind's, in its own namespace."""
    name = f"test-{uuid4().hex[:8]}"
    here, _ = cluster.machine.volumes
    kind_development.make_folder(here)
    try:
        kind_development.install(cluster, images, tmp_path, name)
        yield name
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
        cluster.kubectl("delete", "persistentvolume", kind_development.CLAIM, "--wait=false")


@pytest.mark.cluster
@pytest.mark.harness
def test_installed_operator_runs_the_demo(cluster: Cluster, installed: str, tmp_path: Path) -> None:
    """The images under test, on a folder of this machine; a failed run says why."""
    run = tmp_path / "run.yaml"
    document = {
        "apiVersion": "qlibshadow.io/v1alpha1",
        "kind": "QlibShadowRun",
        "metadata": {"name": "demo"},
        "spec": {
            "dataset": {"source": {"synthetic": {"symbols": 20, "days": 400}}},
            "workflow": {"model": {"num_boost_round": 20}},
        },
    }
    run.write_text(json.dumps(document))
    assert "Complete" in kind_development.try_out(cluster, run, installed)
    here, _ = cluster.machine.volumes
    assert len(list((here / "data/artifacts/trading-ops/qlib-shadow").glob("demo-*/metrics.json"))) == 1
    missing = {"dataset": {"source": {"prices": {"path": "inbox/nowhere.csv"}}}}
    run.write_text(json.dumps(document | {"metadata": {"name": "wrong"}, "spec": missing}))
    with pytest.raises(TestClusterError, match=r"nowhere\.csv"):
        kind_development.try_out(cluster, run, installed)
    run.write_text(
        (kind_development.OVERLAY / "claim.yaml").read_text().replace("qlib-shadow\n", f"{installed}\n")
    )
    with pytest.raises(TestClusterError, match="holds 0 QlibShadowRuns; exactly one is needed"):
        kind_development.try_out(cluster, run, installed)

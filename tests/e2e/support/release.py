"""Releases of the chart, installed by helm as a platform engineer does."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from installation import ROOT
from testcluster import PATIENCE
from testcluster.cluster import claim_and_volume
from testcluster.commands import run

if TYPE_CHECKING:
    from pathlib import Path

    from testcluster import Cluster
    from testcluster.images import Images

CHART = ROOT / "helm/qlib-shadow-operator"
CLAIM = "qlib-shadow-data"
CRD = "qlibshadowruns.qlibshadow.io"
TINY: dict[str, Any] = {
    "dataset": {"source": {"synthetic": {"symbols": 20, "days": 400}}},
    "workflow": {"model": {"num_boost_round": 20}},
}


@dataclass(frozen=True)
class Release:
    """A release, in a namespace of its name."""

    cluster: Cluster
    helm_program: Path
    images: Images
    name: str

    def helm(self, *arguments: str | Path) -> str:
        """Run helm in the release's namespace."""
        return run(
            self.helm_program,
            *arguments,
            f"--namespace={self.name}",
            f"--kubeconfig={self.cluster.kubeconfig}",
        )

    def kubectl(self, *arguments: str, **more: Any) -> str:
        """Run kubectl in the release's namespace."""
        return self.cluster.kubectl(f"--namespace={self.name}", *arguments, **more)

    def values(self) -> list[str]:
        """Return the values of the images under test and of an existing volume."""

        def image(part: str, reference: str) -> list[str]:
            repository, _, tag = reference.rpartition(":")
            return [f"--set={part}.image.repository={repository}", f"--set={part}.image.tag={tag}"]

        return [
            *image("operator", self.images.operator.reference),
            *image("runner", self.images.runner.reference),
            "--set=storage.storageClass=-",
            "--set=storage.accessModes={ReadWriteMany}",
            '--set-json=runner.stages.qrun.resources={"requests":{"cpu":"100m","memory":"512Mi"},"limits":{"memory":"2Gi"}}',
        ]

    def prepare(self) -> Path:
        """Create a restricted namespace and a volume; return the volume's folder."""
        restricted = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        metadata = {"name": self.name, "labels": restricted}
        here, on_node = self.cluster.machine.volumes
        folder = here / self.name / CLAIM
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        volume, _ = claim_and_volume(self.name, CLAIM, "20Gi", f"{on_node}/{self.name}/{CLAIM}")
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, volume)
        return folder

    def put(self, chart: Path, *arguments: str) -> None:
        """Install or upgrade, and wait until the operator is ready."""
        patient = ("--wait", f"--timeout={PATIENCE}s")
        self.helm("upgrade", "--install", self.name, chart, *patient, *self.values(), *arguments)

    def run(self, name: str, **spec: Any) -> None:
        """Create a tiny run."""
        document = {
            "apiVersion": "qlibshadow.io/v1alpha1",
            "kind": "QlibShadowRun",
            "metadata": {"name": name},
            "spec": TINY | spec,
        }
        self.kubectl("apply", "--validate=strict", "--filename=-", input=json.dumps(document))

    def last_messages(self) -> str:
        """Return what the operator's containers have said when they ended."""
        path = "{.items[*].status.containerStatuses[*].lastState.terminated.message}"
        now = path.replace("lastState", "state")
        select = ("--selector=app.kubernetes.io/component=operator", f"--output=jsonpath={path}{now}")
        return self.kubectl("get", "pods", *select)

    def wait_for(self, name: str) -> dict[str, Any]:
        """Wait for a run to complete."""
        self.kubectl("wait", f"qsr/{name}", "--for=condition=Complete", "--timeout=300s")
        return self.cluster.get("qsr", name, f"--namespace={self.name}")


def older_chart(folder: Path) -> Path:
    """Return a copy of the chart in an earlier version: without a field that was added since."""
    chart = folder / "older"
    shutil.copytree(CHART, chart)
    path = chart / "files/crd.yaml"
    crd = yaml.safe_load(path.read_text())
    [version] = crd["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del spec["workflow"]["properties"]["exchange"]["properties"]["impactCost"]
    path.write_text(yaml.safe_dump(crd, sort_keys=False))
    described = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump(described | {"version": "0.0.9"}))
    return chart

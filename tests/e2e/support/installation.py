"""The operator as a user installs it: manifests/, with the images under test."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from testcluster import Cluster
    from testcluster.images import Images

ROOT = Path(__file__).parents[3]
NAMESPACE = "qlib-shadow"
ALLOWED = {"images": ["localhost/*"]}
"""What runs may choose: tests have images with hostile programs in them."""
DEMO = ROOT / "manifests/samples/demo.yaml"


@dataclass(frozen=True)
class Installation:
    """The operator in its namespace, and the claim's folder on this machine."""

    cluster: Cluster
    namespace: str
    data: Path

    def kubectl(self, *args: str, **kwargs: Any) -> str:
        """Run kubectl in the operator's namespace."""
        return self.cluster.kubectl("-n", self.namespace, *args, **kwargs)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return one object."""
        document: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return document

    def pods_of(self, run: str) -> list[dict[str, Any]]:
        """Return the pods of a run, oldest first."""
        listed = self.kubectl("get", "pods", "-l", f"qlibshadow.io/run={run}", "-o", "json")
        pods: list[dict[str, Any]] = json.loads(listed)["items"]
        return sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def on_host(self, path: str) -> Path:
        """Translate a path on the volume (/data/…) to this machine's."""
        return self.data / Path(path).relative_to("/data")


def overlay(folder: Path, images: Images) -> Path:
    """Write a kustomization that installs manifests/ with the images under test, as a user would."""

    def image(name: str, reference: str) -> dict[str, str]:
        repository, _, tag = reference.rpartition(":")
        return {"name": name, "newName": repository, "newTag": tag}

    environment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "qlib-shadow-operator"},
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "operator",
                            "env": [
                                {"name": "QLIB_SHADOW_RUNNER_IMAGE", "value": images.runner.reference},
                                {"name": "QLIB_SHADOW_ALLOWED", "value": json.dumps(ALLOWED)},
                            ],
                        }
                    ]
                }
            }
        },
    }
    shutil.copytree(ROOT / "manifests", folder / "manifests")
    kustomization = {
        "resources": ["manifests"],
        "images": [image("qlib-shadow-operator", images.operator.reference)],
        "patches": [{"path": "environment.yaml"}],
    }
    (folder / "environment.yaml").write_text(yaml.safe_dump(environment))
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder

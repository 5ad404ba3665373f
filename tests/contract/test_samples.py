"""The samples: each has a comment for its user, is listed in the docs, and is valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.runs.jobs import build_job
from qlib_shadow_operator.schedule.parse_schedule import parse_schedule
from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import Stage

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "manifests/samples").glob("*.yaml"))


def documents(sample: Path) -> list[dict[str, Any]]:
    """Return a sample's documents."""
    return list(yaml.safe_load_all(sample.read_text()))


def runs() -> list[Path]:
    """Return the samples that are runs."""
    return [path for path in SAMPLES if any(one["kind"] == "QlibShadowRun" for one in documents(path))]


def pod(sample: str, stage: Stage) -> dict[str, Any]:
    """Return a stage's pod as the operator builds it for a sample."""
    [run] = documents(ROOT / f"manifests/samples/{sample}.yaml")
    run["metadata"] |= {"uid": "a1b2c3d4-0000-4000-8000-000000000000", "namespace": "research"}
    found: dict[str, Any] = build_job(parse_run(run), stage, Defaults())["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("sample", runs(), ids=lambda path: path.stem)
def test_sample_run_is_valid(sample: Path, capsys: pytest.CaptureFixture[str]):
    """As `qlib-shadow validate` checks it."""
    assert main(["validate", str(sample)]) == 0, capsys.readouterr().err
    assert "is valid" in capsys.readouterr().out


def test_run_of_the_nightly_sample_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The run inside the CronJob."""
    [job] = documents(ROOT / "manifests/samples/nightly.yaml")
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    [text] = [one["value"] for one in container["env"] if one["name"] == "QLIB_SHADOW_SCHEDULE"]
    head = {"apiVersion": "qlibshadow.io/v1alpha1", "kind": "QlibShadowRun", "metadata": {"name": "nightly"}}
    made = tmp_path / "made.yaml"
    made.write_text(yaml.safe_dump(head | {"spec": dict(parse_schedule(text).spec)}))
    assert main(["validate", str(made)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_sample_is_explained_and_listed(sample: Path):
    """It begins with its purpose and how to apply it, and the installation page lists it."""
    head = re.match(r"(#.*\n)+", sample.read_text())
    assert head is not None
    assert f"kubectl apply -f {sample.name}" in head[0].replace("-n qlib-shadow ", "")
    assert f"samples/{sample.name}" in (ROOT / "docs/samples.md").read_text()


def test_gpu_sample_uses_the_gpu_only_for_training():
    """A download would hold a GPU without using it."""
    train, download = pod("gpu-node", Stage.QRUN), pod("gpu-node", Stage.DOWNLOAD)
    [container] = train["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert train["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert [one["key"] for one in train["tolerations"]] == ["nvidia.com/gpu"]
    assert not {"nodeSelector", "tolerations"} & set(download)


def test_spot_sample_tolerates_the_taint():
    """By the key of its node label."""
    train = pod("spot-nodes", Stage.QRUN)
    [toleration] = train["tolerations"]
    assert train["nodeSelector"] == {toleration["key"]: toleration["value"]}
    assert "nodeSelector" not in pod("spot-nodes", Stage.DOWNLOAD)

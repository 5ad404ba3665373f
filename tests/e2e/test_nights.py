"""Three nights on a real node: the first trains, the next ones predict with its model, and one names it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_runner.storage.listed_files import hash_files
from qlib_shadow_runner.verify import verify_run
from testcluster import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from installation import Installation

pytestmark = pytest.mark.cluster

NIGHTS = {"night-1": "2020-02-03", "night-2": "2020-02-04", "night-3": "2020-02-05"}
WORKFLOW: dict[str, Any] = {
    "window": {"train": "122d", "valid": "30d", "test": "40d"},
    "model": {"num_boost_round": 12, "min_child_samples": 5},
}


def apply(installation: Installation, name: str, until: str, **workflow: Any) -> None:
    """Apply a run on the data of a night."""
    source = {"synthetic": {"symbols": 10, "days": 300, "until": until}}
    spec = {
        "runId": name,
        "dataset": {"path": "/data/qlib/qlib_data/nights", "source": source},
        "workflow": {**WORKFLOW, **workflow},
    }
    run = {"apiVersion": "qlibshadow.io/v1alpha1", "kind": "QlibShadowRun", "metadata": {"name": name}}
    installation.kubectl("apply", "--validate=strict", "-f", "-", input=json.dumps(run | {"spec": spec}))


def wait(installation: Installation, name: str, condition: str) -> dict[str, Any]:
    """Return the status of a run once it has a condition."""
    installation.kubectl("wait", f"--for=condition={condition}", f"qsr/{name}", f"--timeout={PATIENCE}s")
    status: dict[str, Any] = installation.get("qsr", name)["status"]
    return status


@pytest.fixture(scope="module")
def nights(installation: Installation) -> dict[str, dict[str, Any]]:
    """Return the status of each night, the one run after the other."""
    found = {}
    for name, until in NIGHTS.items():
        apply(installation, name, until, retrain={"everyDays": 20})
        found[name] = wait(installation, name, "Complete")
    return found


def folder_of(installation: Installation, status: dict[str, Any]) -> Path:
    """Return a run folder as this machine sees it."""
    return installation.on_host(status["artifactPath"])


def test_the_first_night_trains_and_the_next_ones_predict(
    installation: Installation, nights: dict[str, dict[str, Any]]
):
    """Each folder is whole, and the resource says whose model it was."""
    folders = {name: folder_of(installation, status) for name, status in nights.items()}
    metadata = {
        name: json.loads((folder / "RUN_METADATA.json").read_text()) for name, folder in folders.items()
    }
    assert {name: one["model_kept"] for name, one in metadata.items()} == {
        "night-1": False,
        "night-2": True,
        "night-3": True,
    }
    assert {one["model_trained_by"] for one in metadata.values()} == {"night-1"}
    assert [one["model_age_days"] for one in metadata.values()] == [0, 1, 2]
    assert [one["signals_last"] for one in metadata.values()] == list(NIGHTS.values())
    models = [hash_files(folder / "model") for folder in folders.values()]
    assert models[0] == models[1] == models[2]
    told = {
        name: (status["model"]["trainedBy"], status["model"]["ageDays"]) for name, status in nights.items()
    }
    assert told == {"night-1": ("night-1", 0), "night-2": ("night-1", 1), "night-3": ("night-1", 2)}
    for folder in folders.values():
        assert [line for line in verify_run(folder, installation.data) if not line.passed] == []


def test_a_run_names_the_model_that_it_uses(installation: Installation, nights: dict[str, dict[str, Any]]):
    """Or is refused for good, with the difference named, before anything is trained."""
    assert nights
    apply(installation, "named", "2020-02-06", model={**WORKFLOW["model"], "from": "night-3"})
    apply(installation, "refused", "2020-02-06", seed=8, model={**WORKFLOW["model"], "from": "night-3"})
    status = wait(installation, "named", "Complete")
    assert (status["model"]["trainedBy"], status["model"]["ageDays"]) == ("night-1", 3)
    failed = wait(installation, "refused", "Failed")
    [condition] = [one for one in failed["conditions"] if one["type"] == "Failed"]
    assert condition["reason"] == "ModelRefused"
    assert "its recipe has another seed: 7 there, 8 here" in condition["message"]
    assert [stage["attempts"] for stage in failed["stages"]] == [1, 1]

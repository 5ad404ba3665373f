"""Three nights on a real node: the first trains, the next ones predict with its model, and one names it.

Each night also records in one book what its signals would have done; on the second, the book is halted.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_runner.ledger.entries import encode
from qlib_shadow_runner.storage.listed_files import hash_files
from qlib_shadow_runner.verify import verify_run
from testcluster import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from installation import Installation

pytestmark = pytest.mark.cluster

NIGHTS = {"night-1": "2020-02-03", "night-2": "2020-02-04", "night-3": "2020-02-05"}
BOOK = "nights"
LEDGER = {"book": BOOK, "capital": 1_000_000, "targets": {"topk": 3, "nDrop": 1}}
BOOKS = "/data/artifacts/trading-ops/qlib-shadow/ledgers"
WORKFLOW: dict[str, Any] = {
    "window": {"train": "122d", "valid": "30d", "test": "40d"},
    "model": {"num_boost_round": 12, "min_child_samples": 5},
}


def apply(
    installation: Installation,
    name: str,
    until: str,
    ledger: dict[str, Any] | None = None,
    **workflow: Any,
) -> None:
    """Apply a run on the data of a night."""
    source = {"synthetic": {"symbols": 10, "days": 300, "until": until}}
    spec = {
        "runId": name,
        "dataset": {"path": "/data/qlib/qlib_data/nights", "source": source},
        "workflow": {**WORKFLOW, **workflow},
        **({"ledger": ledger} if ledger else {}),
    }
    run = {"apiVersion": "qlibshadow.io/v1alpha1", "kind": "QlibShadowRun", "metadata": {"name": name}}
    installation.kubectl("apply", "--validate=strict", "-f", "-", input=json.dumps(run | {"spec": spec}))


def wait(installation: Installation, name: str, condition: str) -> dict[str, Any]:
    """Return the status of a run once it has a condition."""
    installation.kubectl("wait", f"--for=condition={condition}", f"qsr/{name}", f"--timeout={PATIENCE}s")
    status: dict[str, Any] = installation.get("qsr", name)["status"]
    return status


def ledger_says(installation: Installation, *arguments: str) -> str:
    """Return what `qlib-shadow ledger` prints of the book on the volume."""
    command = [sys.executable, "-m", "qlib_shadow_runner", "ledger", *arguments, "--data"]
    done = subprocess.run([*command, str(installation.data)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def nights(installation: Installation) -> dict[str, dict[str, Any]]:
    """Return the status of each night, the one run after the other."""
    found = {}
    for name, until in NIGHTS.items():
        if name == "night-2":
            ledger_says(installation, "halt", BOOK, "--why", "the feed was late")
        apply(installation, name, until, LEDGER, retrain={"everyDays": 20})
        found[name] = wait(installation, name, "Complete")
        if name == "night-2":
            ledger_says(installation, "resume", BOOK, "--why", "it came")
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


def condition_of(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a condition of a run."""
    [found] = [one for one in status["conditions"] if one["type"] == kind]
    return dict(found)


def test_a_halted_night_is_held_and_said(installation: Installation, nights: dict[str, dict[str, Any]]):
    """In status, condition, column and Event; positions stay, and the next night goes on."""
    told = {name: status["ledger"] for name, status in nights.items()}
    assert [(one["decision"], one["day"]) for one in told.values()] == list(
        zip(("Decided", "Held", "Decided"), NIGHTS.values(), strict=True)
    )
    assert [one["recorded"] for one in told.values()] == ["new"] * 3
    assert [one["entries"] for one in told.values()] == [1, 3, 5]
    assert told["night-1"]["orders"] == 3
    assert (told["night-2"]["orders"], told["night-2"]["closedGates"]) == (0, "halt")
    passed = [condition_of(status, "GatesPassed") for status in nights.values()]
    assert [one["status"] for one in passed] == ["True", "False", "True"]
    assert passed[1]["reason"] == "GatesClosed"
    assert "the feed was late" in passed[1]["message"]
    listed = installation.kubectl("get", "qsr", "night-1", "night-2", "-o", "wide").splitlines()
    assert "LEDGER" in listed[0]
    assert ["Held" in line for line in listed[1:]] == [False, True]
    events = installation.kubectl("get", "events", "--field-selector=reason=LedgerRecorded")
    for one in told.values():
        assert one["head"] in events


def writes(installation: Installation, name: str, stage: str) -> str:
    """Return how a pod ends that is as a stage's, and writes into the folder of all books."""
    chosen = f"--selector=qlibshadow.io/run={name},qlibshadow.io/stage={stage}"
    [job] = json.loads(installation.kubectl("get", "jobs", "-o", "json", chosen))["items"]
    spec = job["spec"]["template"]["spec"]
    file = f"{BOOKS}/by-{stage}"
    spec["containers"][0] |= {
        "command": ["sh", "-c", f"touch {file} && rm {file} && echo written"],
        "args": [],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"writes-{stage}"}, "spec": spec}
    installation.kubectl("apply", "-f", "-", input=json.dumps(pod))
    phase = "{.status.containerStatuses[0].state.terminated.exitCode}"
    installation.kubectl("wait", f"--for=jsonpath={phase}", f"pod/writes-{stage}", f"--timeout={PATIENCE}s")
    said = installation.kubectl("logs", f"writes-{stage}")
    installation.kubectl("delete", "pod", f"writes-{stage}", "--wait=false")
    return said.strip()


def test_only_the_ledgers_own_stage_can_write_a_book(
    installation: Installation, nights: dict[str, dict[str, Any]]
):
    """All others have the books read-only; the folder belongs to the runs' user and group."""
    assert nights
    for stage in ("download", "qrun"):
        assert "Read-only file system" in writes(installation, "night-3", stage)
    assert writes(installation, "night-3", "ledger") == "written"
    folder = installation.on_host(BOOKS).stat()
    assert (folder.st_uid, folder.st_gid) == (10001, 10001)


def test_two_runs_of_one_day_make_one_decision(installation: Installation, nights: dict[str, dict[str, Any]]):
    """Both are complete: one has decided, the other finds that day recorded."""
    assert nights
    for name in ("race-1", "race-2"):
        apply(installation, name, "2020-02-06", LEDGER, retrain={"everyDays": 20})
    told = [wait(installation, name, "Complete")["ledger"] for name in ("race-1", "race-2")]
    assert sorted(one["recorded"] for one in told) == ["already", "new"]
    assert told[0]["head"] == told[1]["head"]
    assert {one["entries"] for one in told} == {7}
    entries = (
        json.loads(path.read_text()) for path in installation.on_host(f"{BOOKS}/{BOOK}/chain").iterdir()
    )
    decided = sorted(one["day"] for one in entries if one["kind"] == "decision")
    assert decided == [*NIGHTS.values(), "2020-02-06"]


def test_a_forged_chain_is_found_by_the_head_in_the_status(
    installation: Installation, nights: dict[str, dict[str, Any]], tmp_path: Path
):
    """A chain that was made again from the first file on holds by itself, and has another head."""
    assert nights
    head = installation.get("qsr", "race-1")["status"]["ledger"]["head"]
    assert "holds: 7 entries" in ledger_says(installation, "verify", BOOK, "--head", head)
    book = installation.on_host(f"{BOOKS}/{BOOK}")
    kept = shutil.copytree(book, tmp_path / BOOK)
    try:
        forge(book)
        assert "holds: 7 entries" in ledger_says(installation, "verify", BOOK)
        assert "does not hold" in ledger_says(installation, "verify", BOOK, "--head", head)
    finally:
        shutil.copytree(kept, book, dirs_exist_ok=True)


def forge(book: Path) -> None:
    """Say that another run has begun the book, and make every hash of the chain again."""
    begun = book / "BOOK.json"
    begun.write_bytes(encode({**json.loads(begun.read_bytes()), "createdBy": "another"}))
    before = hashlib.sha256(begun.read_bytes()).hexdigest()
    for entry in sorted(book.glob("chain/*.json")):
        entry.write_bytes(encode({**json.loads(entry.read_bytes()), "previous": before}))
        before = hashlib.sha256(entry.read_bytes()).hexdigest()

"""A checkpoint is found if every byte is what was written, and only then."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.special_files import replace

from qlib_shadow_runner.training.checkpoints import ENV_CHECKPOINTS, Checkpoints, TrainingStep, clear

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Damage = Callable[[Path], object]


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    """Keep a model of two files."""
    checkpoints = Checkpoints.of(tmp_path, "c0ffee")
    draft = checkpoints.begin(TrainingStep.MODEL)
    draft.path("model.txt").write_text("tree")
    draft.path("deeper/more.txt").write_text("leaves")
    draft.keep({"best_iteration": 3, "deviation": float("nan")})
    return checkpoints


def test_a_kept_checkpoint_is_found(kept: Checkpoints, monkeypatch: pytest.MonkeyPatch):
    """In another process too, to which the environment names the folder."""
    monkeypatch.setenv(ENV_CHECKPOINTS, str(kept.home))
    there = Checkpoints.from_environ()
    assert there == kept
    found = there.find(TrainingStep.MODEL)
    assert found is not None
    assert (found.folder / "model.txt").read_text() == "tree"
    assert found.details["best_iteration"] == 3
    assert there.find(TrainingStep.PREDICTION) is None


def test_without_the_variable_there_are_no_checkpoints(monkeypatch: pytest.MonkeyPatch):
    """As with plain qrun."""
    monkeypatch.delenv(ENV_CHECKPOINTS, raising=False)
    assert Checkpoints.from_environ() is None


def rewrite_listing(home: Path, **changes: object) -> None:
    """Change what the listing says."""
    listing = home / "model.json"
    listing.write_text(json.dumps({**json.loads(listing.read_text()), **changes}))


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a changed byte": (
        lambda home: (home / "model/model.txt").write_text("Tree"),
        "model/model.txt is not what was written (its sha256 differs)",
    ),
    "a file that was cut": (
        lambda home: (home / "model/deeper/more.txt").write_text(""),
        "model/deeper/more.txt is not what was written",
    ),
    "a missing file": (lambda home: (home / "model/model.txt").unlink(), "model/model.txt is missing"),
    "a listing of nothing": (lambda home: rewrite_listing(home, files={}), "its listing names no files"),
    "a listing without names": (lambda home: rewrite_listing(home, files=7), "its listing names no files"),
    "a listing without details": (lambda home: rewrite_listing(home, details=7), "its listing is damaged"),
    "a name that climbs out": (
        lambda home: rewrite_listing(home, files={"../../../secret": "0" * 64}),
        "it leads out of the folder",
    ),
    "a file that is not listed": (
        lambda home: (home / "model/more.txt").symlink_to("/etc/passwd"),
        "model/more.txt is not in its listing",
    ),
    "a FIFO for a file": (
        lambda home: replace(home / "model/model.txt", "FIFO"),
        "model.txt is a FIFO, where a file of a training is expected",
    ),
    "a FIFO for the listing": (
        lambda home: replace(home / "model.json", "FIFO"),
        "model.json is a FIFO, where a listing of files is expected",
    ),
}


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_reported_and_not_used(
    kept: Checkpoints, capsys: pytest.CaptureFixture[str], damage: Damage, sentence: str
):
    """The sentence names the file; the step is done again."""
    damage(kept.home)
    assert kept.find(TrainingStep.MODEL) is None
    told = capsys.readouterr().err
    assert told.startswith("warning: the checkpoint of the model cannot be used: ")
    assert sentence in told
    assert told.endswith("The step is done again.\n")


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_files_without_a_valid_listing_are_no_checkpoint(kept: Checkpoints, text: str):
    """The listing is written last, by rename."""
    (kept.home / "model.json").write_text(text)
    assert kept.find(TrainingStep.MODEL) is None


def test_a_step_that_begins_again_removes_its_old_files(kept: Checkpoints):
    """Files without a listing are not a checkpoint."""
    draft = kept.begin(TrainingStep.MODEL)
    assert kept.find(TrainingStep.MODEL) is None
    assert list(draft.folder.iterdir()) == []


def test_checkpoints_of_another_computation_are_removed(kept: Checkpoints, tmp_path: Path):
    """Another configuration, other data or other versions must not continue from them."""
    other = Checkpoints.of(tmp_path, "decade")
    assert other.find(TrainingStep.MODEL) is None
    assert not kept.home.exists()


def test_clear_removes_all_checkpoints(kept: Checkpoints, tmp_path: Path):
    """The MLflow run holds the same."""
    clear(tmp_path)
    assert not kept.home.parent.exists()


WRITER = """
import os, signal, sys
from qlib_shadow_runner.training.checkpoints import sigterm_deferred
with sigterm_deferred():
    os.kill(os.getpid(), signal.SIGTERM)
    print("written", flush=True)
print("went on", flush=True)
"""


def test_sigterm_is_deferred_until_the_write_is_done():
    """The write is finished, and nothing after it is begun."""
    done = subprocess.run([sys.executable, "-c", WRITER], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("written\n", -signal.SIGTERM)

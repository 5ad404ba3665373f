"""A checkpoint is found when every byte of it is what was written, and never otherwise."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

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


def test_what_was_kept_is_found_again(kept: Checkpoints, monkeypatch: pytest.MonkeyPatch):
    """In another process too, which is told where by the environment."""
    monkeypatch.setenv(ENV_CHECKPOINTS, str(kept.home))
    there = Checkpoints.from_environ()
    assert there == kept
    found = there.find(TrainingStep.MODEL)
    assert found is not None
    assert (found.folder / "model.txt").read_text() == "tree"
    assert found.details["best_iteration"] == 3
    assert there.find(TrainingStep.PREDICTION) is None


def test_without_the_variable_there_are_none(monkeypatch: pytest.MonkeyPatch):
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
}


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_told_and_not_used(
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
def test_a_listing_that_is_no_listing_is_no_checkpoint(kept: Checkpoints, text: str):
    """It is written last, by rename; whatever else lies there was put there."""
    (kept.home / "model.json").write_text(text)
    assert kept.find(TrainingStep.MODEL) is None


def test_a_step_that_begins_again_leaves_nothing_of_before(kept: Checkpoints):
    """Files without a listing are not a checkpoint."""
    draft = kept.begin(TrainingStep.MODEL)
    assert kept.find(TrainingStep.MODEL) is None
    assert list(draft.folder.iterdir()) == []


def test_another_computation_finds_nothing_and_removes_it(kept: Checkpoints, tmp_path: Path):
    """Another question, other data, other versions: none of them may go on from here."""
    other = Checkpoints.of(tmp_path, "decade")
    assert other.find(TrainingStep.MODEL) is None
    assert not kept.home.exists()


def test_what_is_done_with_is_removed(kept: Checkpoints, tmp_path: Path):
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


def test_sigterm_waits_for_a_write_and_no_longer():
    """What is being written is finished; what would come next is not begun."""
    done = subprocess.run([sys.executable, "-c", WRITER], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("written\n", -signal.SIGTERM)

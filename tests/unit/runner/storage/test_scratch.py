"""A scratch folder ends with its block, or is removed by the next process when its own was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.storage import scratch
from qlib_shadow_runner.storage.scratch import HOLDER, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLD = """
import sys
from qlib_shadow_runner.storage.scratch import scratch_folder
with scratch_folder("run-", sys.argv[1]) as outer, scratch_folder("stage-", str(outer)) as inner:
    (inner / "big").write_text("content")
    print(inner, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold a folder and one inside of it in another process."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def inner_folder(holder: subprocess.Popen[str]) -> Path:
    """Return the inner folder of the other process."""
    assert holder.stdout is not None
    return Path(holder.stdout.readline().strip())


def test_a_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path, holder: subprocess.Popen[str]):
    """With everything in it."""
    inner = inner_folder(holder)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (inner / "big").exists()
    with scratch_folder("run-", str(tmp_path)) as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_a_living_process_stays(tmp_path: Path, holder: subprocess.Popen[str]):
    """Also where only the inner folder has a holder: a stage whose command was killed."""
    inner = inner_folder(holder)
    for _ in range(2):
        with scratch_folder("run-", str(tmp_path)):
            assert (inner / "big").exists()
        (inner.parent / HOLDER).unlink()
        (inner.parent / HOLDER).touch()


def test_a_folder_in_which_a_child_of_a_killed_process_works_stays(
    tmp_path: Path, holder: subprocess.Popen[str]
):
    """A stage's children outlive it on a laptop."""
    inner = inner_folder(holder)
    holder.kill()
    holder.wait()
    with subprocess.Popen(["sleep", "infinity"], cwd=inner) as child:
        with scratch_folder("run-", str(tmp_path)):
            assert (inner / "big").exists()
        child.kill()
    with scratch_folder("run-", str(tmp_path)):
        assert not inner.exists()


def test_other_folders_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A user's own; one that another process is about to lock; and a new one where locks may not reach."""
    (tmp_path / "run-mine").mkdir()
    (tmp_path / "run-link").symlink_to(tmp_path / "run-mine")
    (tmp_path / "run-file").touch()
    left = tmp_path / "run-left"
    left.mkdir()
    (left / HOLDER).touch()
    monkeypatch.setattr(scratch, "is_local", lambda _folder: False)
    with scratch_folder("run-", str(tmp_path)):
        assert left.exists()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    monkeypatch.setattr(scratch, "is_local", lambda _folder: True)
    with scratch_folder("run-", str(tmp_path)):
        assert left.exists()
    monkeypatch.undo()
    with scratch_folder("run-", str(tmp_path)):
        assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"run-mine", "run-link", "run-file"}

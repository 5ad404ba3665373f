"""A folder is removed by a rename first, so that half of it is never found under its name."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from qlib_shadow_runner.storage.removal import delete, move_aside, name_before_removal, remove

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def make(folder: Path) -> Path:
    """Make a folder with a file."""
    folder.mkdir()
    (folder / "file").write_text("content")
    return folder


def test_a_removed_folder_leaves_nothing(tmp_path: Path):
    """Nor is it an error if it is gone already."""
    folder = make(tmp_path / "a")
    remove(folder)
    remove(folder)
    assert list(tmp_path.iterdir()) == []


def test_what_an_interrupted_removal_left_is_known_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It is deleted under that name, and not renamed once more."""
    with monkeypatch.context() as interrupted:
        interrupted.setattr(shutil, "rmtree", lambda *_, **__: None)
        remove(make(tmp_path / "a"))
    [left] = tmp_path.iterdir()
    assert name_before_removal(left) == "a"
    monkeypatch.setattr("pathlib.Path.rename", None)
    remove(left)
    assert list(tmp_path.iterdir()) == []


def test_only_folders_that_were_moved_aside_have_a_former_name(tmp_path: Path):
    """A file or a link of such a name is a user's."""
    removed_path = move_aside(make(tmp_path / "a"))
    assert name_before_removal(tmp_path) is None
    link = tmp_path / ".b.removed-00000000.tmp"
    link.symlink_to(removed_path)
    assert name_before_removal(link) is None
    delete(removed_path)
    removed_path.write_text("")
    assert name_before_removal(removed_path) is None


def test_two_processes_may_delete_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The second continues where the first has removed files under its hands."""
    removed_path = move_aside(make(tmp_path / "a"))
    real = shutil.rmtree

    def other_first(path: Path, **options: bool) -> None:
        if not options:
            (path / "file").unlink()
            raise FileNotFoundError(path / "file")
        real(path, ignore_errors=True)

    monkeypatch.setattr(shutil, "rmtree", other_first)
    delete(removed_path)
    assert not removed_path.exists()

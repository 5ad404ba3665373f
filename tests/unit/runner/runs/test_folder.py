"""A run folder belongs to the first run that claims it, also after a power cut during the claim."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.unit.runner.special_files import replace

from qlib_shadow_runner.cli.run_folder_lock import locked_run_folder
from qlib_shadow_runner.contract import Reason, Request
from qlib_shadow_runner.errors import DamagedFileError, StageError, from_os_error
from qlib_shadow_runner.runs.folder import OWNER_FILE, RunFolder
from qlib_shadow_runner.runs.request import Identity

MINE = Identity("demo-1", "uid-1", "demo", "here")
OTHERS = Identity("demo-1", "uid-2", "demo", "here")


def owner(folder: Path) -> object:
    """Return the uid of the owner."""
    return json.loads((folder / OWNER_FILE).read_bytes())["uid"]


@pytest.mark.parametrize("left", [b"", b"{", b"[]", b"{}"])
def test_an_owner_file_without_an_owner_is_replaced(tmp_path: Path, left: bytes):
    """A power cut may leave such a file, and the run must be able to continue in its own folder."""
    (tmp_path / OWNER_FILE).write_bytes(left)
    with locked_run_folder(
        tmp_path, Request(name="demo", namespace="here", uid="uid-1", runId="demo-1", spec={})
    ):
        RunFolder.claim(tmp_path, MINE)
    assert owner(tmp_path) == "uid-1"
    assert [path.name for path in tmp_path.glob(f"{OWNER_FILE}*")] == [OWNER_FILE]
    with pytest.raises(
        StageError, match='belongs to the run "demo" in namespace "here" with uid uid-1'
    ) as caught:
        RunFolder.claim(tmp_path, OTHERS)
    assert caught.value.reason is Reason.RUN_FOLDER_TAKEN


def test_the_first_of_two_claims_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Both found the folder free; the file of the first is whole and stays."""
    real = os.link

    def link(draft: Path, target: Path) -> None:
        monkeypatch.undo()
        RunFolder.claim(tmp_path, OTHERS)
        real(draft, target)

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StageError, match="belongs to the run"):
        RunFolder.claim(tmp_path, MINE)
    assert owner(tmp_path) == "uid-2"


def test_the_owner_file_is_synced_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The draft, the link, the folder: in this order."""
    order: list[str] = []
    sync, link = os.fsync, os.link

    def fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115 - the kernel's name
        order.append("folder" if path == tmp_path else path.name[1 : 1 + len(OWNER_FILE)])
        sync(descriptor)

    def linked(draft: Path, target: Path) -> None:
        order.append("link")
        link(draft, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", linked)
    RunFolder.claim(tmp_path, MINE)
    assert order[:3] == [OWNER_FILE, "link", "folder"]


RESULTS = "results"
TAKEN = {
    "the folder is a link": "",
    "its results are a link": RESULTS,
    "its lease's links are a link": ".attempts",
}


@pytest.mark.parametrize("place", TAKEN.values(), ids=TAKEN)
def test_a_run_does_not_write_through_a_link(tmp_path: Path, place: str):
    """Another run could make it, and have this one write anywhere."""
    folder, elsewhere = tmp_path / "demo-1", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if place:
        folder.mkdir()
    (folder / place).symlink_to(elsewhere)
    with pytest.raises(StageError, match=r"is a link where a folder is needed\. Remove it\.") as caught:
        RunFolder.claim(folder, MINE)
    assert caught.value.reason is Reason.VOLUME_NOT_WRITABLE
    assert list(elsewhere.iterdir()) == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize("place", [OWNER_FILE, "RUN_METADATA.json", ".attempt.json", RESULTS])
@pytest.mark.parametrize("damage", ["FIFO", "folder", "link to itself", "sparse"])
def test_a_folder_in_which_something_else_lies_is_refused_with_a_sentence(
    tmp_path: Path, place: str, damage: str
):
    """At once; what is replaced by a rename is replaced."""
    replace(tmp_path / place, damage)
    if (place, damage) == (RESULTS, "folder") or (place == ".attempt.json" and damage != "folder"):
        assert RunFolder.claim(tmp_path, MINE).path == tmp_path
        return
    with pytest.raises((StageError, DamagedFileError)) as caught:
        RunFolder.claim(tmp_path, MINE)
    said = str(from_os_error(caught.value) if isinstance(caught.value, OSError) else caught.value)
    assert place in said
    assert said.endswith("Remove it.")

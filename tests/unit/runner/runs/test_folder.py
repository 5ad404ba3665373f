"""A run folder belongs to the first run that claims it, also after a power cut during the claim."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qlib_shadow_runner.cli.run_folder_lock import locked_run_folder
from qlib_shadow_runner.contract import Reason, Request
from qlib_shadow_runner.errors import StageError
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
    with pytest.raises(StageError, match='belongs to the run "demo" with uid uid-1') as caught:
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

"""What a killed process was writing is removed by the next; what a living one writes is not."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.storage import drafts
from qlib_shadow_runner.storage.drafts import abandoned_drafts, abandoned_drafts_below, draft_of, remove_all
from qlib_shadow_runner.storage.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITE = """
import os, sys
from pathlib import Path
from qlib_shadow_runner.storage.files import write_atomically
sync = os.fsync
def wait(descriptor):
    print("writing", flush=True)
    sys.stdin.read()
    sync(descriptor)
os.fsync = wait
write_atomically(Path(sys.argv[1]), b"by the other process")
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Write a file in another process, which waits before the file gets its name."""
    command = [sys.executable, "-c", WRITE, str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def names(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_the_next_write_of_a_file_removes_what_a_killed_process_was_writing(
    tmp_path: Path, writer: subprocess.Popen[str]
):
    """Whatever it is: metadata, the catalog, a page in a folder of the user's."""
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert len(names(tmp_path)) == 1
    write_atomically(tmp_path / "other", b"")
    assert len(names(tmp_path)) == 2
    write_atomically(tmp_path / "file", b"by this process")
    assert names(tmp_path) == ["file", "other"]


def test_what_a_living_process_writes_stays(tmp_path: Path, writer: subprocess.Popen[str]):
    """It gets its name as if there had been no look."""
    write_atomically(tmp_path / "file", b"by this process")
    remove_all(abandoned_drafts_below(tmp_path))
    assert len(names(tmp_path)) == 2
    writer.communicate("")
    assert (writer.returncode, names(tmp_path)) == (0, ["file"])
    assert (tmp_path / "file").read_bytes() == b"by the other process"


def test_a_draft_that_was_removed_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Between the two, nothing shows that it is written."""
    taken: list[int] = []

    def late(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
        taken.append(descriptor)
        if len(taken) == 1:
            (tmp_path / names(tmp_path)[0]).unlink()
        fcntl.flock(descriptor, kind)
        return len(taken) != 2  # as while another process is about to remove it

    monkeypatch.setattr(drafts, "lock", late)
    with draft_of(tmp_path / "file") as (draft, stream):
        stream.write(b"content")
        draft.replace(tmp_path / "file")
    assert len(taken) == 3
    assert (tmp_path / "file").read_bytes() == b"content"


def test_where_locks_may_not_reach_only_old_drafts_are_abandoned(
    tmp_path: Path, writer: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
):
    """A pod on another node may write it."""
    writer.kill()
    writer.wait()
    monkeypatch.setattr(drafts, "is_local", lambda _folder: False)
    assert list(abandoned_drafts(tmp_path)) == []
    old = os.stat(tmp_path / names(tmp_path)[0]).st_mtime - drafts.EXPIRY - 60  # noqa: PTH116
    os.utime(tmp_path / names(tmp_path)[0], (old, old))
    assert len(list(abandoned_drafts(tmp_path))) == 1


def test_only_our_regular_files_are_drafts(tmp_path: Path):
    """A user's files, folders, links and FIFOs stay, whatever they are called."""
    for name in (".file.tmp", "file.12345678.tmp", ".file.1234567.tmp", ".a.removed-12345678.tmp", ".file"):
        (tmp_path / name).write_text("mine")
    (tmp_path / ".folder.12345678.tmp").mkdir()
    (tmp_path / ".link.12345678.tmp").symlink_to(tmp_path / ".file")
    os.mkfifo(tmp_path / ".fifo.12345678.tmp")
    before = names(tmp_path)
    remove_all(abandoned_drafts_below(tmp_path))
    assert names(tmp_path) == before

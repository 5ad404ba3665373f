"""Whatever an attempt was writing into its run folder when it was killed, the next attempt removes."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.runs.folder import RunFolder
from qlib_shadow_runner.runs.lease import LINKS_FOLDER
from qlib_shadow_runner.runs.request import Identity
from qlib_shadow_runner.storage.drafts import draft_of

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPT = """
import os, signal, sys
from pathlib import Path
from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.runs.folder import RunFolder
from qlib_shadow_runner.runs.request import Identity
from qlib_shadow_runner.storage.files import write_atomically
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
what = sys.argv[2]
if what == "owner":
    os.link = die
if what == "holder":
    Path.replace = die
folder = RunFolder.claim(Path(sys.argv[1]), Identity("demo-1", "uid-1", "demo", "here"))
Path.replace = die
if what == "metadata":
    folder.update_metadata(status="running")
if what == "result":
    folder.write_result(Stage.QRUN, {})
deep = folder.attempt_path / ".checkpoints" / "deep"
deep.mkdir(parents=True)
write_atomically(deep / "model.json", b"{}")
"""


def drafts(folder: Path) -> list[str]:
    """Return the names of unfinished files in a run folder."""
    return sorted(path.name.rpartition(".tmp")[0][:-9] for path in folder.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ("owner", "..owner.json"),
        ("holder", "..attempt.json"),
        ("metadata", ".RUN_METADATA.json"),
        ("result", ".qrun.json"),
        ("checkpoint", ".model.json"),
    ],
)
def test_the_next_attempt_removes_what_a_killed_one_was_writing(tmp_path: Path, what: str, left: str):
    """And the link through which the killed one's children wrote; a living process's file stays."""
    killed = subprocess.run([sys.executable, "-c", ATTEMPT, str(tmp_path), what], check=False)
    assert (killed.returncode, drafts(tmp_path)) == (-signal.SIGKILL, [left])
    with draft_of(tmp_path / "report.html"):
        lease = RunFolder.claim(tmp_path, Identity("demo-1", "uid-1", "demo", "here")).lease
        assert drafts(tmp_path) == [".report.html"]
    assert lease is not None
    assert [path.name for path in (tmp_path / LINKS_FOLDER).iterdir()] == [lease.token]
    lease.release()

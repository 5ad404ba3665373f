"""A lock shows which process holds a file or folder; without locks, its age does."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.storage import held

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXPIRY = 60.0
HOLD = """
import sys
from pathlib import Path
from qlib_shadow_runner.storage.held import lock_folder
held = lock_folder(Path(sys.argv[1]))
print(held is not None, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold the folder in another process."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_a_folder_has_one_holder(tmp_path: Path, holder: subprocess.Popen[str]):
    """The kernel releases the lock when the holder is killed."""
    assert held.lock_folder(tmp_path) is None
    assert held.seconds_unheld(tmp_path, EXPIRY) is None
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert held.seconds_unheld(tmp_path, EXPIRY) is not None
    descriptor = held.lock_folder(tmp_path)
    assert descriptor is not None
    os.close(descriptor)


def test_two_that_look_do_not_see_each_other(tmp_path: Path):
    """A look takes no lock that another look could take for a holder."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    assert held.lock(descriptor, fcntl.LOCK_SH)
    assert held.seconds_unheld(tmp_path, EXPIRY) is not None
    os.close(descriptor)


def test_where_locks_may_not_reach_an_old_path_has_no_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A new one may have a holder on another node."""
    monkeypatch.setattr(held, "is_local", lambda _: False)
    assert held.seconds_unheld(tmp_path, EXPIRY) is None
    long_ago = time.time() - EXPIRY - 10
    os.utime(tmp_path, (long_ago, long_ago))
    seconds = held.seconds_unheld(tmp_path, EXPIRY)
    assert seconds is not None
    assert seconds >= EXPIRY


def test_a_filesystem_without_locks_shows_no_holder(tmp_path: Path):
    """A closed descriptor stands for it, on which flock fails as well."""
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    assert held.lock(reading)
    assert held.seconds_unheld(tmp_path / "missing", EXPIRY) is None


def test_an_action_is_repeated_until_the_block_ends():
    """An error of the volume is tried again."""
    calls: list[int] = []

    def fail_once() -> bool:
        calls.append(len(calls))
        if len(calls) == 1:
            raise OSError("the server is away")
        return True

    with held.repeated(fail_once, 0.001):
        while len(calls) < 3:
            time.sleep(0)
    count = len(calls)

    def last() -> bool:
        calls.append(-1)
        return False

    with held.repeated(last, 0.001):
        while calls[-1] != -1:
            time.sleep(0)
    assert len(calls) == count + 1


def test_a_holder_is_named_by_what_it_wrote():
    """By host and process."""
    holder = held.this_process()
    name = held.holder_name("the attempt", holder)
    assert name == f"the attempt on {os.uname().nodename} (process {os.getpid()}, since {holder['since']})"

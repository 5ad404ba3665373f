"""One process holds the lock; the others wait and name it, unless the holder has ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.special_files import replace

from qlib_shadow_runner.contract import ENV_REQUEST, ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.storage import held, lock
from qlib_shadow_runner.storage.lock import EXPIRY, WaitOptions, locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from qlib_shadow_runner.storage import lock
lock.is_local = lambda folder: sys.argv[2] == "local"
with lock.locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class Clock:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.said: list[str] = []

    def waiting(self, limit: float = 1800.0) -> WaitOptions:
        """Wait by this clock."""
        return WaitOptions(limit=limit, clock=lambda: self.now, pause=self._pause, log=self.said.append)

    def _pause(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """Return a clock that starts at 1000 in each test."""
    return Clock()


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Hold the lock in another process until told otherwise."""
    holders: list[subprocess.Popen[str]] = []

    def start(kind: str = "local") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "us_data_1d"), kind],
            env={**os.environ, ENV_REQUEST: json.dumps({"runId": "nightly-1"})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        holders.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in holders:
        process.kill()
        process.communicate()


def test_a_waiting_process_names_the_holder(
    tmp_path: Path, hold: Callable[..., subprocess.Popen[str]], clock: Clock
):
    """By run, host and process; after the limit the wait ends with a reason that is tried again."""
    holder = hold()
    with pytest.raises(StageError) as caught, locked(tmp_path / "us_data_1d", clock.waiting(limit=120)):
        pytest.fail("the lock is held")
    name = f"run nightly-1 on {os.uname().nodename} (process {holder.pid}, since 2"
    assert caught.value.reason is Reason.DATASET_LOCKED
    assert caught.value.exit_code is ExitCode.TRANSIENT
    assert caught.value.message.startswith(name)
    assert "has been building us_data_1d for longer than this run waits (2 minutes)" in caught.value.message
    assert len(clock.said) == 4  # at once, then every half minute
    assert all(line.startswith(f"waiting for {name}") for line in clock.said)


def test_the_lock_of_a_killed_holder_is_free_at_once(
    tmp_path: Path, hold: Callable[..., subprocess.Popen[str]], clock: Clock
):
    """The kernel releases it."""
    holder = hold()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "us_data_1d", clock.waiting()):
        assert clock.now == 1000.0


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the volume is on a network."""
    monkeypatch.setattr(lock, "is_local", lambda _: False)


@pytest.fixture
def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the filesystem has no flock, or one that does not reach the other nodes."""
    monkeypatch.setattr(held, "lock", lambda _: True)


@pytest.mark.usefixtures("remote", "without_flock")
def test_a_renewed_lease_is_not_taken_over(
    tmp_path: Path, hold: Callable[..., subprocess.Popen[str]], clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """It changes while its holder lives."""
    hold("remote")
    beats: list[int] = []
    lease = tmp_path / ".us_data_1d.lease"

    def beat(seconds: float) -> None:
        clock.now += seconds
        beats.append(len(beats))
        lease.write_text(json.dumps({**json.loads(lease.read_text()), "beat": len(beats)}))

    monkeypatch.setattr(clock, "_pause", beat)
    with (
        pytest.raises(StageError, match="run nightly-1 on") as caught,
        locked(tmp_path / "us_data_1d", clock.waiting(limit=10 * EXPIRY)),
    ):
        pytest.fail("the lease is held")
    assert caught.value.reason is Reason.DATASET_LOCKED


@pytest.mark.usefixtures("remote", "without_flock")
def test_the_lease_of_a_killed_holder_is_taken_over(
    tmp_path: Path, hold: Callable[..., subprocess.Popen[str]], clock: Clock
):
    """After it has not changed for a while by the waiter's own clock: no two nodes' clocks are compared."""
    holder = hold("remote")
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".us_data_1d.lease").exists()
    with locked(tmp_path / "us_data_1d", clock.waiting()):
        assert EXPIRY <= clock.now - 1000.0 <= EXPIRY + 3
    assert {path.name for path in tmp_path.glob(".*us*")} == {".us_data_1d.lock"}


@pytest.mark.usefixtures("remote")
def test_a_lease_is_renewed_until_the_block_ends(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """A waiter that looks twice sees two contents."""
    monkeypatch.setattr(lock, "RENEWAL", 0.001)
    lease, seen = tmp_path / ".us_data_1d.lease", set[bytes]()
    with locked(tmp_path / "us_data_1d", clock.waiting()):
        while len(seen) < 3:
            seen.add(lease.read_bytes())
    assert not lease.exists()


@pytest.mark.usefixtures("remote", "without_flock")
def test_a_lost_lease_stays_with_its_new_holder(tmp_path: Path, clock: Clock):
    """A holder that was paused for too long must not remove the lease of the next one."""
    lease, other = tmp_path / ".us_data_1d.lease", {"token": "other", "beat": 1}
    with locked(tmp_path / "us_data_1d", clock.waiting()):
        lease.write_text(json.dumps(other))
    assert json.loads(lease.read_text()) == other


@pytest.mark.timeout(20)
@pytest.mark.parametrize("damage", ["FIFO", "socket", "link", "link to itself", "folder"])
def test_a_lock_is_not_taken_in_what_is_no_file(tmp_path: Path, damage: str):
    """Its holder writes its name there: through a link it would write into another file."""
    replace(tmp_path / ".us.lock", damage)
    outside = tmp_path / ".outside-.us.lock"
    said = r"\.us\.lock is a .+, where a file is expected\. Remove it\."
    with pytest.raises(StageError, match=said), locked(tmp_path / "us"):
        pass
    assert not outside.exists() or outside.read_bytes() == b"{}"

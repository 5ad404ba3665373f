"""Only the last attempt writes into a run folder; an earlier one that still lives changes nothing more."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.stage_processes import step_of

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import ENV_TERMINATION_LOG, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.runs import lease as lease_module
from qlib_shadow_runner.runs.lease import HOLDER, LINKS_FOLDER, Lease, seconds_without_holder
from qlib_shadow_runner.runs.listing import ListedRun
from qlib_shadow_runner.storage import held
from qlib_shadow_runner.storage.files import fenced, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    StageEnviron = Callable[..., dict[str, str]]

SMALL: dict[str, object] = {"dataset": {"source": {"synthetic": {"symbols": 10, "days": 250}}}}


class Attempt:
    """A download stage that waits for the dataset's lock, in a process of its own."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self.log = log
        command = [sys.executable, "-m", "qlib_shadow_runner", "stage", "download"]
        self.process = subprocess.Popen(
            command, env={**environ, ENV_TERMINATION_LOG: str(log)}, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert "stage download attempt" in self.process.stdout.readline()
        self.step = step_of(self.process.pid)

    def send(self, number: int) -> None:
        """Send a signal to the stage and its step."""
        for pid in (self.process.pid, self.step):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def ended(self) -> int:
        """Wait for its end."""
        self.process.communicate(timeout=120)
        return self.process.returncode

    def message(self) -> dict[str, object]:
        """Read its termination message."""
        told: dict[str, object] = json.loads(self.log.read_bytes())
        return told


@pytest.fixture
def dataset_lock(tmp_path: Path) -> Iterator[int]:
    """Hold the dataset's lock, so that builds wait."""
    home = tmp_path / "data/qlib/qlib_data"
    home.mkdir(parents=True)
    descriptor = os.open(home / ".us_data_1d.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the run folder."""
    return tmp_path / "data/artifacts/trading-ops/qlib-shadow/demo-1"


def content(folder: Path) -> dict[str, bytes]:
    """Return the content of every file in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_paused_attempt_that_was_superseded_writes_nothing(
    tmp_path: Path, folder: Path, dataset_lock: int, stage_environ: StageEnviron
):
    """As after a partition of the network: it continues, sees its successor, stops and says so."""
    older = Attempt(stage_environ(SMALL), tmp_path / "older")
    older.send(signal.SIGSTOP)
    newer = Attempt(stage_environ(SMALL), tmp_path / "newer")
    fcntl.flock(dataset_lock, fcntl.LOCK_UN)
    assert newer.ended() == 0
    before = content(folder)
    older.send(signal.SIGCONT)
    assert older.ended() == 143
    assert content(folder) == before
    assert older.message()["reason"] == "Superseded"
    assert f"process {newer.process.pid}, since " in str(older.message()["message"])
    with pytest.raises(ProcessLookupError):
        os.kill(older.step, 0)


def test_a_running_attempt_that_was_superseded_stops(
    tmp_path: Path, folder: Path, dataset_lock: int, stage_environ: StageEnviron
):
    """Two pods of one stage, both alive: the later one goes on, the earlier one does not wait for the end."""
    del dataset_lock
    older = Attempt(stage_environ(SMALL), tmp_path / "older")
    newer = Attempt(stage_environ(SMALL), tmp_path / "newer")
    assert older.ended() == 143
    assert older.message()["reason"] == "Superseded"
    newer.process.terminate()
    assert newer.ended() == 143
    assert newer.message()["reason"] == "Interrupted"
    metadata = json.loads((folder / "RUN_METADATA.json").read_bytes())
    assert (metadata["status"], metadata["stages"]["download"]["attempts"]) == ("interrupted", 2)


def test_the_lease_of_a_killed_attempt_is_taken_over_at_once(
    tmp_path: Path, folder: Path, dataset_lock: int, stage_environ: StageEnviron
):
    """What it left is taken over at once."""
    older = Attempt(stage_environ(SMALL), tmp_path / "older")
    older.send(signal.SIGKILL)
    assert older.ended() == -9
    assert (folder / HOLDER).is_file()
    fcntl.flock(dataset_lock, fcntl.LOCK_UN)
    command = [sys.executable, "-m", "qlib_shadow_runner", "stage", "download"]
    subprocess.run(command, env=stage_environ(SMALL), check=True, capture_output=True)
    assert list((folder / LINKS_FOLDER).iterdir()) == []


def test_the_error_names_the_attempt_on_another_node(
    tmp_path: Path, folder: Path, dataset_lock: int, stage_environ: StageEnviron
):
    """Only the volume connects the two."""
    del dataset_lock
    older = Attempt(stage_environ(SMALL), tmp_path / "older")
    there = {"token": "t", "host": "node-b", "pid": 7, "since": "2026-01-01T00:00:00.000Z"}
    (folder / "theirs").write_text(json.dumps(there))
    (folder / "theirs").rename(folder / HOLDER)
    before = content(folder)
    assert older.ended() == 143
    assert "the attempt on node-b (process 7, since 2026-01-01" in str(older.message()["message"])
    assert content(folder) == before


def test_an_attempt_on_another_node_is_superseded_at_once(tmp_path: Path):
    """It cannot be known whether that attempt lives, and need not be."""
    there = {"token": "t", "host": "node-b", "pid": 7, "since": "2026-01-01T00:00:00.000Z"}
    (tmp_path / HOLDER).write_text(json.dumps(there))
    lease = Lease.take(tmp_path)
    assert lease.superseded_error() is None
    os.close(lease.descriptor)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}"])
def test_a_damaged_holder_file_ends_the_lease_and_blocks_no_other(tmp_path: Path, damage: bytes):
    """The holder stops, and the next attempt takes the folder."""
    first = Lease.take(tmp_path)
    (tmp_path / HOLDER).write_bytes(damage)
    with pytest.raises(StageError, match="an unknown attempt has taken") as caught:
        first.check()
    assert caught.value.reason is Reason.SUPERSEDED
    second = Lease.take(tmp_path)
    assert second.superseded_error() is None
    for lease in (first, second):
        os.close(lease.descriptor)


def test_the_path_of_children_ends_with_the_lease(tmp_path: Path):
    """MLflow writes through this path by itself."""
    first = Lease.take(tmp_path)
    (first.attempt_path / "a").write_text("1")
    second = Lease.take(tmp_path)
    with pytest.raises(FileNotFoundError):
        (first.attempt_path / "b").write_text("1")
    (second.attempt_path / "b").write_text("2")
    assert (tmp_path / "b").read_text() == "2"
    for lease in (first, second):
        os.close(lease.descriptor)


def test_every_write_checks_the_lease_first(tmp_path: Path):
    """Callers need not do it."""
    first = Lease.take(tmp_path)
    with fenced(first.check):
        write_atomically(tmp_path / "x", b"first")
        second = Lease.take(tmp_path)
        with pytest.raises(StageError, match="has taken"):
            write_atomically(tmp_path / "x", b"late")
    assert (tmp_path / "x").read_bytes() == b"first"
    for lease in (first, second):
        os.close(lease.descriptor)


RACE = """
import sys
from pathlib import Path
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.runs.lease import Lease
sys.stdin.read(1)
try:
    lease = Lease.take(Path(sys.argv[1]))
    print("took", lease.token, flush=True)
except StageError as error:
    print(error.reason, flush=True)
sys.stdin.read()
"""


def test_of_attempts_that_start_together_one_keeps_the_lease(tmp_path: Path):
    """And only its children have a link."""
    commands = [[sys.executable, "-c", RACE, str(tmp_path)]] * 6
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = [racer.stdout.readline().split() for racer in racers if racer.stdout]
    for racer in racers:
        racer.communicate()
    holder = json.loads((tmp_path / HOLDER).read_text())["token"]
    assert [words for words in said if words == ["took", holder]]
    assert {words[0] for words in said} <= {"took", "Superseded"}
    assert [attempt_path.name for attempt_path in (tmp_path / LINKS_FOLDER).iterdir()] == [holder]


@pytest.mark.parametrize("moment", ["signed", "looked", "linked"])
def test_an_attempt_that_is_superseded_while_it_starts_leaves_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
):
    """The later attempt takes the lease completely, after each step of the first."""
    check, later, seen = Lease.check, list[Lease](), list[str]()

    def passed(step: str) -> None:
        seen.append(step)
        if step == moment:
            monkeypatch.setattr(Lease, "check", check)
            later.append(Lease.take(tmp_path))

    def overtaken(lease: Lease) -> None:
        passed("linked" if seen else "signed")
        check(lease)
        passed("looked")

    monkeypatch.setattr(Lease, "check", overtaken)
    with pytest.raises(StageError) as caught:
        Lease.take(tmp_path)
    assert caught.value.reason is Reason.SUPERSEDED
    assert [attempt_path.name for attempt_path in (tmp_path / LINKS_FOLDER).iterdir()] == [later[0].token]
    os.close(later[0].descriptor)


def test_a_lock_shows_whether_the_holder_lives(tmp_path: Path):
    """At once, where one kernel writes."""
    assert seconds_without_holder(tmp_path) is None
    lease = Lease.take(tmp_path)
    assert seconds_without_holder(tmp_path) is None
    os.close(lease.descriptor)
    assert seconds_without_holder(tmp_path) is not None


def test_on_a_shared_filesystem_age_shows_whether_the_holder_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Locks may not reach the other nodes there."""
    monkeypatch.setattr(held, "is_local", lambda _: False)
    lease = Lease.take(tmp_path)
    os.close(lease.descriptor)
    assert seconds_without_holder(tmp_path) is None
    long_ago = time.time() - lease_module.EXPIRY - 1
    os.utime(tmp_path / HOLDER, (long_ago, long_ago))
    assert seconds_without_holder(tmp_path) is not None


def test_a_killed_run_is_listed_as_interrupted_and_pruned_after_a_week(
    tmp_path: Path,
    folder: Path,
    dataset_lock: int,
    stage_environ: StageEnviron,
    capsys: pytest.CaptureFixture[str],
):
    """The process could not write its status; another attempt may continue until then."""
    del dataset_lock
    attempt = Attempt(stage_environ(SMALL), tmp_path / "log")
    running = ListedRun.at(folder)
    assert running is not None
    assert (running.status, running.ended) == ("running", False)
    attempt.send(signal.SIGKILL)
    attempt.ended()
    assert (running.status, running.ended) == ("interrupted", True)
    main(["runs", "--data", str(tmp_path / "data")])
    assert "interrupted" in capsys.readouterr().out
    words = ["prune", "--keep", "0", "--run-folders", "--data", str(tmp_path / "data")]
    main(words)
    assert folder.exists()
    eight_days_ago = time.time() - 8 * 86400
    os.utime(folder / HOLDER, (eight_days_ago, eight_days_ago))
    main(words)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("namespace", "age", "status"),
    [
        ("prod", 3600.0, "running"),
        ("prod", 8 * 86400.0, "interrupted"),
        ("local", 3600.0, "interrupted"),
        ("local", 0.0, "running"),
    ],
    ids=["a cluster's", "a cluster's that was deleted", "this machine's", "this machine's, just now"],
)
def test_between_stages_a_run_counts_as_interrupted_once_no_pod_is_to_come(
    tmp_path: Path, namespace: str, age: float, status: str
):
    """In a cluster, the next pod may wait for hours for a node; or none comes, for a deleted resource."""
    folder = tmp_path / "demo-1"
    folder.mkdir()
    stages = {"download": {"attempts": 1, "finished_at_utc": "2026-01-01T00:00:00Z"}}
    metadata = {"run_id": "demo-1", "status": "running", "namespace": namespace, "stages": stages}
    (folder / "RUN_METADATA.json").write_text(json.dumps(metadata))
    os.close(Lease.take(folder).descriptor)
    moment = time.time() - age
    os.utime(folder / HOLDER, (moment, moment))
    run = ListedRun.at(folder)
    assert run is not None
    assert run.status == status

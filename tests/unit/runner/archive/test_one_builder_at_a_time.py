"""The dataset's lock: many ask, one builds, the others know for whom they wait, and the dead block nobody."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import ENV_REQUEST, ExitCode, Reason
from qlib_shadow_runner.crash_points import ENV_FAULT
from qlib_shadow_runner.dataset import publish
from qlib_shadow_runner.dataset.asked import DatasetSpec
from qlib_shadow_runner.dataset.ensure import ResolvedDataset, ensure
from qlib_shadow_runner.dataset.fingerprint import fingerprint
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.storage import lock, mounts
from qlib_shadow_runner.storage.lock import EXPIRY, WaitOptions, locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.unit.runner.archive.conftest import Files, Step, Web

    from qlib_shadow_runner.dataset.asked import DatasetSpec

    Meanwhile = Callable[[str, Callable[[], object]], None]

HOLD = """
import sys
from pathlib import Path
from qlib_shadow_runner.dataset import lock
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
    """Give a clock of its own to each test."""
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


@pytest.mark.parametrize("refresh", ["IfMissing", "Always"])
def test_eight_runs_started_together_download_once(
    *,
    refresh: str,
    web: Web,
    step: Step,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
):
    """Take the lock, then look again; whoever waits with Always takes what was made meanwhile."""
    content = pack_zip(dataset_files)
    source = {"archive": {"url": web.url("us.zip", content), "sha256": sha256(content)}}
    racers = race(step, source, refresh)
    found = [step.finish(racer) for racer in racers]
    assert len({one.get("folder") for one in found}) == 1, found
    assert "folder" in found[0], found
    assert len(web.asked) == 1
    assert web.asked[0].sent == len(content)
    assert step.run(source, refresh=refresh) == found[0]
    assert len(web.asked) == (1 if refresh == "IfMissing" else 2)


@pytest.mark.parametrize("refresh", ["IfMissing", "Always"])
def test_eight_runs_fetch_the_public_set_once(
    refresh: str, web: Web, step: Step, dataset_files: Files, pack_zip: Callable[[Files], bytes]
):
    """It has no checksum, so that only a build which began after a run asked will do: all had asked."""
    web.url("v2/qlib_data_us_1d_latest.zip", pack_zip(dataset_files))
    racers = race(step, {"qlib": {"url": web.base}}, refresh)
    assert len({step.finish(racer)["folder"] for racer in racers}) == 1
    assert sum(output.count("running: python -m qlib.cli.data") for output in step.outputs) == 1


def race(step: Step, source: Mapping[str, object], refresh: str) -> list[subprocess.Popen[str]]:
    """Start eight runs behind a closed door, and open it when all of them stand there."""
    with locked(step.canonical):
        racers = [step.start(source, refresh=refresh) for _ in range(8)]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline().startswith("waiting for ")
    return racers


@pytest.mark.parametrize(("kind", "builds"), [("archive", 1), ("qlib", 2)])
def test_a_build_under_way_answers_always_only_where_the_source_is_pinned(
    *,
    kind: str,
    builds: int,
    web: Web,
    step: Step,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
):
    """What a checksum names is the same at any time; what a server has by now may not be."""
    content = pack_zip(dataset_files)
    name = "us.zip" if kind == "archive" else "v2/qlib_data_us_1d_latest.zip"
    url = web.url(name, content)
    source: Mapping[str, object] = {
        "archive": {"archive": {"url": url, "sha256": sha256(content)}},
        "qlib": {"qlib": {"url": web.base}},
    }[kind]
    web.will(held=True)
    first = step.start(source, refresh="Always")
    web.wait_for_request()
    second = step.start(source, refresh="Always")
    assert second.stdout is not None
    assert second.stdout.readline().startswith("waiting for ")
    web.go_on.set()
    assert step.finish(first) == step.finish(second) != {}
    taken = sum("another run built this dataset" in output for output in step.outputs)
    assert 2 - taken == builds


def test_who_waits_is_told_for_whom(tmp_path: Path, hold: Callable[..., subprocess.Popen[str]], clock: Clock):
    """By run, pod and process; then the wait has an end, and the Job goes on waiting."""
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


def test_a_killed_holder_frees_the_lock(
    tmp_path: Path, hold: Callable[..., subprocess.Popen[str]], clock: Clock
):
    """The kernel lets go of what the dead held, at once."""
    holder = hold()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "us_data_1d", clock.waiting()):
        assert clock.now == 1000.0


def test_a_builder_that_was_killed_is_replaced(
    web: Web,
    step: Step,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
):
    """While others wait for it."""
    content = pack_zip(dataset_files)
    source = {"archive": {"url": web.url("us.zip", content), "sha256": sha256(content)}}
    step.environ[ENV_FAULT] = "unpack-file"
    doomed = step.start(source)
    step.environ.clear()
    web.wait_for_request()  # it holds the lock by now
    others = [step.start(source) for _ in range(3)]
    step.finish(doomed)
    assert doomed.returncode == -signal.SIGKILL
    assert len({step.finish(other)["folder"] for other in others}) == 1


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the volume is on a network."""
    monkeypatch.setattr(lock, "is_local", lambda _: False)


@pytest.fixture
def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the filesystem has no flock, or one that does not reach the other nodes."""
    monkeypatch.setattr(lock, "_flock", lambda _: True)


@pytest.mark.usefixtures("remote", "without_flock")
def test_a_lease_is_honoured_where_flock_reaches_nobody(
    tmp_path: Path, hold: Callable[..., subprocess.Popen[str]], clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """It changes while its holder lives, so that it is never taken away."""
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
def test_the_lease_of_a_dead_holder_is_taken_over(
    tmp_path: Path, hold: Callable[..., subprocess.Popen[str]], clock: Clock
):
    """After it has not changed for a while by the waiter's own clock: no two nodes' clocks are compared."""
    holder = hold("remote")
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".us_data_1d.lease").exists()
    with locked(tmp_path / "us_data_1d", clock.waiting()):
        assert EXPIRY <= clock.now - 1000.0 <= EXPIRY + 3
    assert {path.name for path in tmp_path.glob(".us*")} == {".us_data_1d.lock"}


@pytest.mark.usefixtures("remote")
def test_a_lease_is_renewed_while_the_work_goes_on(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """Whoever looks twice sees two contents."""
    monkeypatch.setattr(lock, "RENEWAL", 0.001)
    lease, seen = tmp_path / ".us_data_1d.lease", set[bytes]()
    with locked(tmp_path / "us_data_1d", clock.waiting()):
        while len(seen) < 3:
            seen.add(lease.read_bytes())
    assert not lease.exists()


@pytest.mark.usefixtures("remote", "without_flock")
def test_a_lost_lease_is_not_taken_from_its_new_holder(tmp_path: Path, clock: Clock):
    """A holder that slept too long goes on, but lets the other's lease be."""
    lease, other = tmp_path / ".us_data_1d.lease", {"token": "other", "beat": 1}
    with locked(tmp_path / "us_data_1d", clock.waiting()):
        lease.write_text(json.dumps(other))
    assert json.loads(lease.read_text()) == other


POINTS = (
    "build-begun",
    "build-done",
    "publish-verified",
    "publish-manifest",
    "rename",
    "publish-version",
    "publish-link",
)


@pytest.fixture
def meanwhile(remote: None, without_flock: None, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Let a second builder come when the first one is silent at some point, which lasts too long."""
    del remote, without_flock
    monkeypatch.setattr(lock, "EXPIRY", 0.0)

    def prepare(point: str, second: Callable[[], object]) -> None:
        def reach(name: str) -> None:
            if name == point:
                monkeypatch.setattr(publish, "fault_point", lambda _: None)
                monkeypatch.setattr(Path, "rename", rename)
                second()

        def moving(path: Path, target: Path) -> Path:
            reach("rename" if ".staging-" in path.name else "")
            return rename(path, target)

        rename = Path.rename
        monkeypatch.setattr(Path, "rename", moving)
        monkeypatch.setattr(publish, "fault_point", reach)

    return prepare


def seeded(seed: int) -> DatasetSpec:
    """Ask for a small dataset."""
    source = {"synthetic": {"symbols": 10, "days": 250, "seed": seed}}
    return parse_spec({"dataset": {"source": source}}).dataset


@pytest.mark.parametrize("seed", [7, 9], ids=["the same question", "another question"])
@pytest.mark.parametrize("point", POINTS)
def test_of_two_holders_the_first_ends_for_now_and_the_second_goes_on(
    tmp_path: Path, meanwhile: Meanwhile, point: str, seed: int
):
    """Wherever it was silent for too long; what is visible is whole, and the next attempt gets through."""
    canonical, second = tmp_path / "us_data_1d", list[ResolvedDataset]()
    meanwhile(point, lambda: second.append(ensure(canonical, seeded(seed))))
    with pytest.raises(StageError, match="another has taken over building us_data_1d") as caught:
        ensure(canonical, seeded(7))
    assert caught.value.reason is Reason.DATASET_LOCKED
    assert canonical.resolve() == second[0].folder
    assert {path.name for path in tmp_path.glob(".us*")} == {".us_data_1d.lock"}
    versions = {path.name for path in tmp_path.glob("us_data_1d@*") if path.is_dir()}
    manifests = {path.name for path in tmp_path.glob("*.manifest.json")}
    assert manifests == {f"{version}.manifest.json" for version in versions}
    for version in versions:
        assert fingerprint(tmp_path / version).startswith(version.partition("@")[2])
    assert ensure(canonical, seeded(7)).folder == canonical.resolve()


def test_what_is_being_swept_is_not_published(
    tmp_path: Path, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
):
    """The first holder comes to its rename when the second was killed after removing half."""
    canonical, remove = tmp_path / "us_data_1d", shutil.rmtree

    class Killed(BaseException):
        """The end of the second."""

    def remove_half(folder: Path, **_: object) -> None:
        remove(folder / "calendars")
        raise Killed

    def sweep_half() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", remove_half)
            with pytest.raises(Killed):
                ensure(canonical, seeded(9))

    meanwhile("rename", sweep_half)
    with pytest.raises(StageError) as caught:
        ensure(canonical, seeded(7))
    assert caught.value.reason is Reason.DATASET_LOCKED
    assert not list(tmp_path.glob("us*"))
    assert ensure(canonical, seeded(7)).folder == canonical.resolve()
    assert {path.name for path in tmp_path.glob(".us*")} == {".us_data_1d.lock"}


def test_the_filesystem_is_found_by_the_nearest_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A volume inside a container is a mount of its own, with any name."""
    volume = tmp_path / "my data"
    volume.mkdir()
    table = tmp_path / "mountinfo"
    escaped = str(volume).replace(" ", "\\040")
    table.write_text(
        "1 0 0:1 / / rw - overlay overlay rw\n"
        f"2 1 0:2 / {escaped} rw,relatime shared:1 master:2 - nfs4 server:/export rw\n"
        "3 1 0:3 / /proc rw - proc proc rw\n"
    )
    monkeypatch.setattr(mounts, "MOUNTINFO", table)
    assert mounts.filesystem_type(volume / "qlib") == "nfs4"
    assert not mounts.is_local(volume)
    assert mounts.is_local(tmp_path)
    monkeypatch.setattr(mounts, "MOUNTINFO", tmp_path / "none")
    assert not mounts.is_local(tmp_path)

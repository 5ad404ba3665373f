"""The lock of a dataset: one run builds, the others wait, and a dead holder blocks no run."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.crash_points import ENV_FAULT
from qlib_shadow_runner.dataset import publish
from qlib_shadow_runner.dataset.asked import DatasetSpec
from qlib_shadow_runner.dataset.ensure import ResolvedDataset, ensure
from qlib_shadow_runner.dataset.fingerprint import fingerprint
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.storage import held, lock
from qlib_shadow_runner.storage.lock import locked

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

    from tests.unit.runner.dataset.archive.conftest import Files, Step, Web

    from qlib_shadow_runner.dataset.asked import DatasetSpec

    Meanwhile = Callable[[str, Callable[[], object]], None]


@pytest.mark.parametrize("refresh", ["IfMissing", "Always"])
def test_eight_concurrent_runs_download_once(
    *,
    refresh: str,
    web: Web,
    step: Step,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
):
    """A run looks again after taking the lock; one with Always takes the version built meanwhile."""
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
def test_eight_concurrent_runs_fetch_the_public_set_once(
    refresh: str, web: Web, step: Step, dataset_files: Files, pack_zip: Callable[[Files], bytes]
):
    """It has no checksum, so only a build that began after a run's start counts; all had started."""
    web.url("v2/qlib_data_us_1d_latest.zip", pack_zip(dataset_files))
    racers = race(step, {"qlib": {"url": web.base}}, refresh)
    assert len({step.finish(racer)["folder"] for racer in racers}) == 1
    assert sum(output.count("running: python -m qlib.cli.data") for output in step.outputs) == 1


def race(step: Step, source: Mapping[str, object], refresh: str) -> list[subprocess.Popen[str]]:
    """Hold the lock, start eight runs, and release it when all of them wait."""
    with locked(step.canonical):
        racers = [step.start(source, refresh=refresh) for _ in range(8)]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline().startswith("waiting for ")
    return racers


@pytest.mark.parametrize(("kind", "builds"), [("archive", 1), ("qlib", 2)])
def test_running_build_satisfies_always_only_for_a_pinned_source(
    *,
    kind: str,
    builds: int,
    web: Web,
    step: Step,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
):
    """A checksum fixes the content; without one the server may have newer data."""
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


def test_waiting_run_builds_after_the_builder_was_killed(
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
    monkeypatch.setattr(held, "lock", lambda _: True)


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
def test_first_of_two_holders_stops_and_the_second_continues(
    tmp_path: Path, meanwhile: Meanwhile, point: str, seed: int
):
    """Wherever it was silent for too long; what is visible is whole, and the next attempt gets through."""
    canonical, second = tmp_path / "us_data_1d", list[ResolvedDataset]()
    meanwhile(point, lambda: second.append(ensure(canonical, seeded(seed))))
    with pytest.raises(StageError, match="another has taken over building us_data_1d") as caught:
        ensure(canonical, seeded(7))
    assert caught.value.reason is Reason.DATASET_LOCKED
    assert canonical.resolve() == second[0].folder
    assert {path.name for path in tmp_path.glob(".*us*")} == {".us_data_1d.lock"}
    versions = {path.name for path in tmp_path.glob("us_data_1d@*") if path.is_dir()}
    manifests = {path.name for path in tmp_path.glob("*.manifest.json")}
    assert manifests == {f"{version}.manifest.json" for version in versions}
    for version in versions:
        assert fingerprint(tmp_path / version).startswith(version.partition("@")[2])
    assert ensure(canonical, seeded(7)).folder == canonical.resolve()


def test_folder_that_is_being_removed_is_not_published(
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
    assert {path.name for path in tmp_path.glob(".*us*")} == {".us_data_1d.lock"}

"""After SIGKILL at any time the published dataset is complete, and the next run finishes the build.

Four random times by default; QLIB_SHADOW_CHAOS_ROUNDS sets more.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import qlib_shadow_runner.dataset
from qlib_shadow_runner.crash_points import ENV_FAULT
from qlib_shadow_runner.dataset.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.unit.runner.dataset.archive.conftest import Files, Step, Web

PACKAGE = Path(qlib_shadow_runner.dataset.__path__[0])
ROUNDS = int(os.environ.get("QLIB_SHADOW_CHAOS_ROUNDS", "4"))
ARCHIVE = ["download-chunk", "download-done", "unpack-file", "unpack-done"]
EVERYWHERE = [
    "build-begun",
    "build-done",
    "publish-verified",
    "publish-manifest",
    "publish-version",
    "publish-link",
]
PUBLIC_SET = "qlib-data-done"
FETCHED_IN_VAIN = ("build-done", "publish-verified", "publish-manifest")
"""The archive is gone once it is unpacked, so that only here a crash costs a second download."""


@pytest.fixture
def two_sources(
    web: Web,
    dataset_files: Files,
    noise: bytes,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
) -> list[dict[str, object]]:
    """Serve two datasets that differ in one file; each is large enough to be interrupted."""
    bulk = {"extra.bin": noise * 2}  # fetched, and left out when unpacked
    close = "features/aaa/close.day.bin"
    sources: list[dict[str, object]] = []
    for name, files in (("old", dataset_files), ("new", {**dataset_files, close: dataset_files[close][:-4]})):
        content = pack_zip({**bulk, **files})
        sources.append({"archive": {"url": web.url(f"{name}.zip", content), "sha256": sha256(content)}})
    return sources


def published(step: Step) -> str | None:
    """Return the fingerprint of the published dataset, checked against the name of its version."""
    if not step.canonical.exists():
        return None
    found = fingerprint(step.canonical)
    assert step.canonical.resolve().name == f"us_data_1d@{found[:12]}"
    return found


def left_over(folder: Path) -> set[str]:
    """Return the names of temporary files."""
    return {path.name for path in folder.glob(".*")} - {".us_data_1d.lock"}


def test_every_crash_point_of_the_code_is_tested():
    """A new crash point without a test fails this test."""
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    named = set(re.findall(r'fault_point\("([^"]+)"\)', code))
    assert named == {*ARCHIVE, *EVERYWHERE, PUBLIC_SET}


@pytest.mark.parametrize("point", [*ARCHIVE, *EVERYWHERE])
def test_next_run_recovers_from_a_kill_at_each_crash_point(
    point: str, web: Web, step: Step, two_sources: list[dict[str, object]]
):
    """At every point either the old or the new dataset is published."""
    old, new = two_sources
    step.here(old)
    before = published(step)
    kill_at(point, step, new)
    assert published(step) == before
    step.here(new)
    assert published(step) not in (None, before)
    assert left_over(step.volume) == set()
    asked_again = [one for one in web.asked if one.path == "/new.zip"][1:]
    if point == "download-chunk":
        assert asked_again[0].range is not None
    elif point not in FETCHED_IN_VAIN:
        assert not asked_again


def test_public_source_recovers_from_a_kill(
    web: Web, step: Step, dataset_files: Files, pack_zip: Callable[[Files], bytes]
):
    """Another program writes it into the same staging folder."""
    web.url("v2/qlib_data_us_1d_latest.zip", pack_zip(dataset_files))
    source = {"qlib": {"url": web.base}}
    kill_at(PUBLIC_SET, step, source)
    assert published(step) is None
    step.here(source)
    assert published(step) is not None
    assert left_over(step.volume) == set()


@pytest.mark.parametrize("point", EVERYWHERE)
@pytest.mark.parametrize("kind", ["prices", "synthetic"])
def test_synthetic_and_prices_recover_from_a_kill(point: str, kind: str, step: Step):
    """Builds without a download recover in the same way."""
    bars = "".join(f"2024-01-{day:02},AAA,1,2,1,2,5\n" for day in range(2, 30))
    (step.volume / "us.csv").write_text("date,symbol,open,high,low,close,volume\n" + bars)
    old = {"synthetic": {"symbols": 10, "days": 250, "seed": 8}}
    sources: Mapping[str, Mapping[str, object]] = {
        "prices": {"prices": {"path": "us.csv"}},
        "synthetic": {"synthetic": {"symbols": 10, "days": 250}},
    }
    new = sources[kind]
    step.here(old)
    before = published(step)
    kill_at(point, step, new)
    assert published(step) == before
    step.here(new)
    assert published(step) not in (None, before)
    assert left_over(step.volume) == set()


def kill_at(point: str, step: Step, source: Mapping[str, object]) -> None:
    """Kill the step at a named crash point."""
    step.environ[ENV_FAULT] = point
    doomed = step.start(source)
    assert step.finish(doomed) == {}
    assert doomed.returncode == -signal.SIGKILL


def test_kills_at_random_times_never_show_a_partial_dataset(
    web: Web, step: Step, two_sources: list[dict[str, object]]
):
    """The two datasets are built in turn on the same volume."""
    dice = random.Random(5)
    step.here(two_sources[0])
    known = {published(step)}
    step.here(two_sources[1])
    known.add(published(step))
    assert len(known) == 2
    for number in range(ROUNDS):
        process = step.start(two_sources[number % 2], refresh="Always")
        assert process.stdout is not None
        process.stdout.readline()  # it has begun: what comes before touches nothing
        try:
            process.wait(timeout=dice.uniform(0.0, 0.4))
        except subprocess.TimeoutExpired:
            process.kill()
        step.finish(process)
        assert published(step) in known
    for source in two_sources:
        step.here(source, refresh="Always")
        assert published(step) in known
    assert left_over(step.volume) == set()
    assert all(one.path in ("/old.zip", "/new.zip") for one in web.asked)

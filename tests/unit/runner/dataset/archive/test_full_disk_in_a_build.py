"""A full volume during any step of a build ends in OutOfDisk and leaves no partial files."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.fingerprint import fingerprint
from qlib_shadow_runner.storage.durability import sync_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.unit.runner.dataset.archive.conftest import Files, Step, Web

SMALL = {"synthetic": {"symbols": 10, "days": 250}}


@pytest.fixture
def full(step: Step, small_volume: Path) -> Step:
    """Put a first dataset on the small volume, which then has room for little more."""
    step.volume = small_volume
    step.here(SMALL)
    return step


def expect_a_full_disk(step: Step, source: Mapping[str, object], said: str) -> None:
    """Ask for what does not fit: the old dataset stays, whole."""
    before = step.canonical.resolve().name
    found = step.run(source)
    assert found.get("reason") == Reason.OUT_OF_DISK, (found, step.outputs)
    assert said in found["message"]
    assert found["message"].endswith("Free space on the volume or enlarge it.")
    assert step.canonical.resolve().name == before
    assert before.endswith(fingerprint(step.canonical)[:12])
    assert {path.name for path in step.volume.glob(".*")} == {".us_data_1d.lock"}
    assert {path.name for path in step.volume.glob("us_data_1d*")} == {
        "us_data_1d",
        before,
        f"{before}.manifest.json",
    }
    assert step.here(SMALL).resolve().name == before


def test_full_disk_while_synthetic_data_is_written(full: Step):
    """Nine hundred symbols over ten years are 90 megabytes."""
    expect_a_full_disk(full, {"synthetic": {"symbols": 900, "years": 10}}, "no space is left while writing")


def test_full_disk_while_prices_are_converted(full: Step):
    """The file fits on the volume, the converted dataset does not, which is known before it is written."""
    days = [f"{year}-{month:02}-{day:02}" for year in range(1990, 2020) for month in (1, 2) for day in (3, 4)]
    rows = (f"{days[n % 120]},S{n // 120},1,2,1,2,5" for n in range(120 * 600))
    text = "date,symbol,open,high,low,close,volume\n" + "\n".join(rows) + "\n"
    (full.volume / "us.csv").write_text(text)
    said = "the dataset of 600 symbols over 120 days needs 16.4 MiB, but"
    expect_a_full_disk(full, {"prices": {"path": "us.csv"}}, said)


def test_full_disk_while_an_archive_is_fetched_or_unpacked(
    *,
    full: Step,
    web: Web,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
):
    """What fits as it is packed and not when it is unpacked is known before the first file."""
    flat = pack_zip({**dataset_files, "features/aaa/open.day.bin": bytes(9_000_000)})
    noise = pack_zip({**dataset_files, "features/aaa/open.day.bin": random.Random(1).randbytes(9_000_000)})
    for name, content, said in (
        ("flat", flat, "the archive unpacks to"),
        ("noise", noise, "the rest of noise.zip needs"),
    ):
        source = {"archive": {"url": web.url(f"{name}.zip", content), "sha256": sha256(content)}}
        expect_a_full_disk(full, source, said)


def test_full_disk_while_a_version_is_published(full: Step, monkeypatch: pytest.MonkeyPatch):
    """The data fits exactly, the manifest beside it does not."""
    before, filler = full.canonical.resolve(), full.volume / "filler"

    def fill_up(folder: Path) -> None:
        sync_tree(folder)
        with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while stream.write(bytes(4096)):
                pass

    monkeypatch.setattr("qlib_shadow_runner.dataset.publish.sync_tree", fill_up)
    other = {"synthetic": {"symbols": 10, "days": 250, "seed": 8}}
    with pytest.raises(OSError, match="No space left on device"):
        full.here(other)
    assert full.canonical.resolve() == before
    assert {path.name for path in full.volume.glob(".*")} == {".us_data_1d.lock"}
    filler.unlink()
    monkeypatch.undo()
    assert full.here(other) != before


def test_partial_download_is_removed_when_another_source_succeeds(step: Step):
    """No later run needs it."""
    for name in (".us_data_1d.download-0123", ".us_data_1d.download-0123.json", ".eu.download-0123"):
        (step.volume / name).touch()
    step.here(SMALL)
    assert {path.name for path in step.volume.glob(".*")} == {".us_data_1d.lock", ".eu.download-0123"}

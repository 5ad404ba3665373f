"""Small datasets and small requests that the runner's tests share."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest

from qlib_shadow_runner.contract import ENV_DATA, ENV_REQUEST, ENV_TERMINATION_LOG, ENV_WORK
from qlib_shadow_runner.dataset.qlib_layout import Dataset

MakeDataset = Callable[..., Dataset]


def weekdays(count: int, start: date = date(2020, 1, 1)) -> list[date]:
    """Give the first weekdays from a day on."""
    days: list[date] = []
    day = start
    while len(days) < count:
        if day.weekday() < 5:
            days.append(day)
        day += timedelta(days=1)
    return days


def write_bin(path: Path, values: Sequence[float], start: int = 0) -> None:
    """Write one bin file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f"<{len(values) + 1}f", start, *values))


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """Make a dataset of constant prices: universes by name, every symbol over all days."""

    def make(
        days: int = 300,
        universes: Mapping[str, Sequence[str]] | None = None,
        folder: Path | None = None,
        without_features: Sequence[str] = (),
    ) -> Dataset:
        folder = folder or tmp_path / "us"
        universes = {"all": ("AAA", "BBB", "^GSPC")} if universes is None else universes
        calendar = weekdays(days)
        (folder / "calendars").mkdir(parents=True)
        (folder / "calendars" / "day.txt").write_text("".join(f"{day}\n" for day in calendar))
        (folder / "instruments").mkdir()
        (folder / "features").mkdir()
        for name, symbols in universes.items():
            lines = [f"{symbol}\t{calendar[0]}\t{calendar[-1]}\n" for symbol in symbols]
            (folder / "instruments" / f"{name}.txt").write_text("".join(lines))
            for symbol in symbols:
                if symbol not in without_features:
                    write_bin(folder / "features" / symbol.lower() / "close.day.bin", [1.0] * days)
        return Dataset(folder)

    return make


@pytest.fixture
def stage_environ(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Give the environment of a stage, with everything below the test's folder."""

    def make(
        spec: Mapping[str, object] | None = None, *, uid: str = "uid-1", run_id: str = "demo-1"
    ) -> dict[str, str]:
        request = {"name": "demo", "namespace": "here", "uid": uid, "runId": run_id, "spec": spec or {}}
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        return {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            ENV_REQUEST: json.dumps(request),
            ENV_DATA: str(tmp_path / "data"),
            ENV_WORK: str(work),
            ENV_TERMINATION_LOG: str(tmp_path / "termination-log"),
        }

    return make


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """Mount a filesystem of eight megabytes, where this user may."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    mounted = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if mounted.returncode != 0 and os.getuid() != 0 and "CI" not in os.environ:
        pytest.skip("a full disk needs a small filesystem, which only root may mount; CI does")
    assert mounted.returncode == 0, mounted.stderr
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)

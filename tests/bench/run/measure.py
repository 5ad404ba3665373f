"""One way measured: its phases, the most memory of it and its children at once, and what it left."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.bench.run.workflow import Size, Way, workflow

from qlib_shadow_runner.cache.places import ENV_CACHE
from qlib_shadow_runner.process.environment import child_environment, inherited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parents[3]
EVERY: Final = 0.2
"""Seconds between two looks at the memory, each of which costs milliseconds."""
UNLUCKY: Final = re.compile(r"Metric '[^']+' is malformed\. No data found\.")
"""Qlib logs metrics in a thread; who reads a metric just then finds an empty file, and plain qrun ends."""
LUCK: Final = 5
"""Times that a run is begun which ends so."""
ARTIFACTS: Final = (
    "pred.pkl",
    "label.pkl",
    "sig_analysis/ic.pkl",
    "sig_analysis/ric.pkl",
    "portfolio_analysis/report_normal_1day.pkl",
    "portfolio_analysis/positions_normal_1day.pkl",
    "portfolio_analysis/port_analysis_1day.pkl",
    "portfolio_analysis/indicators_normal_1day.pkl",
    "portfolio_analysis/indicators_normal_1day_obj.pkl",
    "portfolio_analysis/indicator_analysis_1day.pkl",
)


class Memory(NamedTuple):
    """Bytes at one time, or the most at any."""

    all: int = 0
    own: int = 0
    """Without what the kernel can take back at any time, because it is in a file as well."""

    def __or__(self, other: Memory) -> Memory:
        return Memory(max(self.all, other.all), max(self.own, other.own))


@dataclass(frozen=True)
class Figures:
    """What one run took, and what it left."""

    phases: Mapping[str, float]
    processor: Mapping[str, float]
    """Seconds of all its threads; those of its children are not counted."""
    peak: Memory
    store: Path

    @property
    def total(self) -> float:
        """Give all its seconds."""
        return sum(self.phases.values())

    def left(self, name: str) -> Any:
        """Read what it left under a name."""
        (path,) = self.store.glob(f"*/*/artifacts/{name}")
        return pickle.loads(path.read_bytes())

    def metrics(self) -> dict[str, str]:
        """Read the last value of each metric that it logged."""
        paths = sorted(self.store.glob("*/*/metrics/*"))
        return {path.name: path.read_text().splitlines()[-1].split()[1] for path in paths}


def measure(way: Way, size: Size, dataset: Path, folder: Path, cache: Path) -> Figures:
    """Run one way in a process of its own; one that Qlib's own race ended did not take place."""
    for attempt in range(1, LUCK):
        try:
            return _once(way, size, dataset, folder / str(attempt), cache)
        except RuntimeError as error:
            if way.ours or not UNLUCKY.search(str(error)):
                raise
    return _once(way, size, dataset, folder / str(LUCK), cache)


def _once(way: Way, size: Size, dataset: Path, folder: Path, cache: Path) -> Figures:
    folder.mkdir(parents=True)
    # JSON is YAML, with no room for opinions.
    (folder / "workflow.yaml").write_text(json.dumps(workflow(way, size, dataset)), encoding="utf-8")
    command = [sys.executable, "-m", "tests.bench.run.child", "workflow.yaml", "mlruns", "phases.json"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=_environ(way, folder, cache), stdout=log, stderr=subprocess.STDOUT
        )
        peak = _watch(process)
    if process.returncode:
        tail = (folder / "log").read_text(errors="replace")[-2000:]
        message = f"{way.name} ended with code {process.returncode}:\n{tail}"
        raise RuntimeError(message)
    counted = json.loads((folder / "phases.json").read_text(encoding="utf-8"))
    return Figures(counted["seconds"], counted["processor"], peak, folder / "mlruns")


def _environ(way: Way, folder: Path, cache: Path) -> dict[str, str]:
    """Give ours what its stage gives it, and the others no more than what makes them run and repeat."""
    environ = {
        **inherited(os.environ),
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": "0",
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }
    if not way.ours:
        return environ
    scratch = folder / "scratch"
    scratch.mkdir()
    kept = child_environment(environ, threads=way.threads, scratch=str(scratch))
    return {**kept, **({ENV_CACHE: str(cache)} if way.keeps else {})}


def _watch(process: subprocess.Popen[bytes]) -> Memory:
    """Look again and again how much memory it has; memory that is shared counts once."""
    peak, ended = Memory(), threading.Event()

    def wait() -> None:
        process.wait()
        ended.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not ended.wait(EVERY):
        each = [_memory(number) for number in _family(process.pid)]
        peak |= Memory(sum(one.all for one in each), sum(one.own for one in each))
    waiting.join()
    return peak


def _family(number: int) -> Iterator[int]:
    yield number
    for listing in Path(f"/proc/{number}/task").glob("*/children"):
        try:
            children = listing.read_text().split()
        except OSError:  # it has just ended
            continue
        for child in children:
            yield from _family(int(child))


def _memory(number: int) -> Memory:
    try:
        rollup = Path(f"/proc/{number}/smaps_rollup").read_text()
    except OSError:  # it has just ended
        return Memory()
    sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+): +(\d+) kB$", rollup, re.MULTILINE)}
    return Memory(sizes["Pss"], sizes["Pss_Anon"] + sizes["Pss_Shmem"])

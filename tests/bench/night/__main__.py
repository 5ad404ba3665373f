"""Measure a night with a kept model beside Qlib's own ways on the same data.

    make bench-night ARGS='--symbols 500 --days 3777'

The first evening trains. Then each night has one more day of prices, and four things are measured in turn:
the download stage, the qrun stage, plain qrun by Qlib's classes, which trains, and Qlib's own way with a
saved model. The night's predictions must be Qlib's to the last bit, and the exit code is 1 if they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import lightgbm
from qlib.contrib.model.gbdt import LGBModel
from tests.bench.night.question import INBOX, Prices, of_qlib
from tests.bench.operator_cost.results_table import machine
from tests.bench.run.__main__ import days, positive, symbols
from tests.bench.run.measure import ROOT, Memory, _watch

from local_stages import RUNNER, LocalVolume
from qlib_shadow_runner.process.environment import inherited
from qlib_shadow_runner.workflow.parsed import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

WAYS: Final = {
    "download": "download stage, all price files changed",
    "qrun": "qrun stage with a kept model",
    "plain": "plain qrun, which trains",
    "saved": "Qlib's own way with a saved model",
}
PREDICTIONS: Final = "*/*/artifacts/pred.pkl"


@dataclass(frozen=True)
class Taken:
    """What a process and its children took: seconds, those of all processors, and the most memory at once."""

    seconds: float
    processor: float
    peak: Memory


def main(given: Sequence[str] | None = None) -> int:
    """Measure what is asked for; return 1 where a prediction differs."""
    parser = argparse.ArgumentParser(prog="bench-night", description=__doc__)
    parser.add_argument("--symbols", type=symbols, default=100, help="so many, 8 at least (default 100)")
    parser.add_argument("--days", type=days, default=1500, help="so many, 200 at least (default 1500)")
    parser.add_argument("--nights", type=positive, default=1, help="so many nights (default 1)")
    parser.add_argument("--boosting", type=positive, default=130, help="rounds of boosting (default 130)")
    parser.add_argument("--place", type=Path, help="a folder for data and results")
    options = parser.parse_args(given)
    place = Path(tempfile.mkdtemp(prefix="bench-night-", dir=options.place))
    prices = Prices(options.symbols, options.days)
    volume = LocalVolume(place / "volume", prices.spec(options.boosting), {"HOME": os.environ["HOME"]})
    found: dict[str, list[Taken]] = {name: [] for name in WAYS}
    try:
        print(f"{machine()}; {options.symbols} symbols, {options.days} days, {options.boosting} rounds\n")  # noqa: T201
        prices.write(volume.mount / INBOX, 0)
        volume.run("night-0")
        differing = [
            one for night in range(1, options.nights + 1) for one in measure(night, volume, prices, found)
        ]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(table(found))  # noqa: T201
    print("\n".join(differing) or "\nthe predictions are Qlib's, bit for bit")  # noqa: T201
    return 1 if differing else 0


def measure(night: int, volume: LocalVolume, prices: Prices, found: dict[str, list[Taken]]) -> list[str]:
    """Measure one night and Qlib's ways on its data; return where their predictions differ."""
    prices.write(volume.mount / INBOX, night)
    run_id = f"night-{night}"
    environ = dict(volume._environ(run_id))
    for stage in ("download", "qrun"):
        found[stage].append(timed([*RUNNER, stage], environ, volume.home / f"{run_id}-{stage}"))
    if not volume.metadata(run_id)["model_kept"]:
        message = f"{run_id} has trained:\n{volume.log(run_id=run_id)[-2000:]}"
        raise RuntimeError(message)
    folder = volume.folder(run_id)
    document: Any = parse((folder / "workflow.yaml").read_text(encoding="utf-8")).document
    qlibs = {
        **inherited(os.environ),
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": "0",
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }
    plain, saved = (volume.home / f"{run_id}-{name}" for name in ("plain", "saved"))
    for home in (plain, saved):
        home.mkdir()
        workflow = of_qlib(document, trains=home == plain)
        (home / "workflow.yaml").write_text(json.dumps(workflow, default=str), encoding="utf-8")
    model = LGBModel()
    model.model = lightgbm.Booster(model_file=str(folder / "model/model.txt"))
    (saved / "params.pkl").write_bytes(pickle.dumps(model))
    qrun = [str(Path(sys.executable).with_name("qrun")), "workflow.yaml", "--uri_folder=mlruns"]
    found["plain"].append(timed(qrun, qlibs, plain))
    loading = [sys.executable, "-m", "tests.bench.night.saved", "workflow.yaml", "params.pkl", "mlruns"]
    found["saved"].append(timed(loading, qlibs, saved))
    [ours], [theirs] = (folder / "mlruns").glob(PREDICTIONS), (saved / "mlruns").glob(PREDICTIONS)
    one, other = (pickle.loads(path.read_bytes()) for path in (ours, theirs))
    same = one.index.equals(other.index) and one.to_numpy().tobytes() == other.to_numpy().tobytes()
    return [] if same else [f"the predictions of {run_id} are not those of Qlib's own way"]


def timed(command: Sequence[str], environ: dict[str, str], home: Path) -> Taken:
    """Run a process to its end; it must succeed."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "log").open("wb") as log:
        began, worked = time.perf_counter(), processor_seconds()
        process = subprocess.Popen(command, cwd=home, env=environ, stdout=log, stderr=subprocess.STDOUT)
        peak = _watch(process)
        seconds = time.perf_counter() - began
    if process.returncode:
        tail = (home / "log").read_text(errors="replace")[-2000:]
        message = f"{command} ended with code {process.returncode}:\n{tail}"
        raise RuntimeError(message)
    return Taken(seconds, processor_seconds() - worked, peak)


def processor_seconds() -> float:
    """Return what all ended children have worked: on a busy machine it says more than the clock."""
    times = os.times()
    return times.children_user + times.children_system


def table(found: dict[str, list[Taken]]) -> str:
    """Return the median of each way, its share of plain qrun, and its memory."""
    both = [
        Taken(one.seconds + other.seconds, one.processor + other.processor, one.peak | other.peak)
        for one, other in zip(found["download"], found["qrun"], strict=True)
    ]
    ways = {**{what: found[name] for name, what in WAYS.items()}, "the whole night: both stages": both}
    base = median(one.seconds for one in found["plain"]), median(one.processor for one in found["plain"])
    rows = [
        ["", "seconds", "of plain qrun", "processor seconds", "of plain qrun", "peak memory", "not in files"]
    ]
    rows.append(["---", *["---:"] * 6])
    for what, taken in ways.items():
        each = median(one.seconds for one in taken), median(one.processor for one in taken)
        shares = [text for value, whole in zip(each, base, strict=True) for text in share(value, whole)]
        peaks = (max(one.peak.all for one in taken), max(one.peak.own for one in taken))
        rows.append([what, *shares, *(f"{peak / 2**20:,.0f} MiB" for peak in peaks)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def share(value: float, whole: float) -> tuple[str, str]:
    """Return seconds, and what part of others they are."""
    return f"{value:.1f}", f"1/{whole / value:.1f}"


if __name__ == "__main__":
    raise SystemExit(main())

"""Small volumes made by hand: a dataset that can gain days, and the folders that runs would have left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from tests.unit.runner.conftest import weekdays, write_bin

from qlib_shadow_runner.contract import ARTIFACTS
from qlib_shadow_runner.dataset.manifest import DatasetManifest, manifest_path
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.export.ranked_signals import encode_signals, signals_sha256, with_ranks
from qlib_shadow_runner.storage.files import write_json
from qlib_shadow_runner.storage.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SYMBOLS: Final = tuple(f"S{number:02}" for number in range(30))
DATASET: Final = "/data/qlib/qlib_data/us"
FEED: Final = "prices inbox/us.parquet"
FIRST: Final = date(2026, 1, 1)


@dataclass(frozen=True)
class SmallVolume:
    """A folder that stands for /data."""

    data: Path

    @property
    def volume(self) -> Volume:
        """Return it as the runner has it."""
        return Volume(self.data)

    @property
    def catalog(self) -> Path:
        """Say where the catalog lies."""
        return self.data / ARTIFACTS / "catalog"

    def add_dataset(
        self,
        days: int,
        feed: str = FEED,
        dataset: str = DATASET,
        symbols: Sequence[str] = SYMBOLS,
        market: int = 0,
    ) -> Dataset:
        """Publish so many days of a market's random walks; more of them begin with the same days."""
        canonical = self.volume.locate(dataset)
        fingerprint = fingerprint_of(days, market)
        folder = canonical.with_name(f"{canonical.name}@{fingerprint}")
        calendar = weekdays(days, FIRST)
        (folder / "calendars").mkdir(parents=True)
        (folder / "calendars" / "day.txt").write_text("".join(f"{day}\n" for day in calendar))
        (folder / "instruments").mkdir()
        lines = "".join(f"{symbol}\t{calendar[0]}\t{calendar[-1]}\n" for symbol in symbols)
        (folder / "instruments" / "all.txt").write_text(lines)
        for number, symbol in enumerate(symbols):
            walk = closes(number, days, market)
            write_bin(folder / "features" / symbol.lower() / "close.day.bin", walk.tolist())
        ends = {"calendar_start": str(calendar[0]), "calendar_end": str(calendar[-1]), "days": days}
        counts = {"instruments": len(symbols), "universes": {}, "rows": 0, "files": 0, "size": 0}
        about = {
            "stamp": "",
            "created_utc": f"{calendar[-1]}T00:00:00+00:00",
            "synthetic": False,
            "fingerprint": fingerprint,
            "source": "prices content=1",
            "feed": feed,
        }
        DatasetManifest(**ends, **counts, **about).write(manifest_path(folder))  # type: ignore[arg-type]
        canonical.unlink(missing_ok=True)
        canonical.symlink_to(folder.name)
        return Dataset(folder)

    def add_run(
        self, run_id: str, days: int = 60, *, signals_format: str = "parquet", last: int = 10, **more: object
    ) -> Path:
        """Leave a complete run on so many days of the dataset, with signals of the last ones."""
        folder = self.data / ARTIFACTS / run_id
        (folder / "results").mkdir(parents=True)
        calendar = weekdays(days, FIRST)
        signals = signals_of(run_id, calendar[-last:])
        name = f"signals_ranked.{signals_format}"
        metadata: dict[str, object] = {
            "schema": 1,
            "run_id": run_id,
            "name": run_id.partition("-")[0],
            "namespace": "local",
            "uid": f"uid-of-{run_id}",
            "status": "complete",
            "reason": "Succeeded",
            "started_at_utc": f"{calendar[-1]}T22:00:00.000Z",
            "finished_at_utc": f"{calendar[-1]}T22:10:00.500Z",
            "stages": {"download": ended(calendar[-1], 1.5), "qrun": ended(calendar[-1], 8.25)},
            "dataset_path": DATASET,
            "dataset_resolved_path": f"{DATASET}@{fingerprint_of(days)}",
            "dataset_source": "prices content=1",
            "dataset_feed": FEED,
            "dataset_instruments": len(SYMBOLS),
            "dataset_fingerprint": fingerprint_of(days),
            "dataset_start": str(calendar[0]),
            "dataset_end": str(calendar[-1]),
            "dataset_days": days,
            "config_hash": f"config-of-{run_id}",
            "strategy": {"topk": 5, "n_drop": 1},
            "signals_file": name,
            "signals_rows": len(signals),
            "signals_first": str(calendar[-last]),
            "signals_last": str(calendar[-1]),
            "signals_sha256": signals_sha256(signals),
            **more,
        }
        metrics = {"ic": 0.03 + days / 10_000, "rankIc": 0.05, "annualizedReturn": 0.08, "maxDrawdown": -0.1}
        (folder / name).write_bytes(encode_signals(signals, name, metadata))
        write_json(folder / "metrics.json", {"runId": run_id, **metrics})
        result = {"reason": "Succeeded", "message": f"IC {metrics['ic']:.3f}", "metrics": metrics}
        write_json(folder / "results" / "qrun.json", result)
        write_json(folder / "RUN_METADATA.json", metadata)
        return folder


def ended(day: date, seconds: float) -> dict[str, object]:
    """Return the record of a stage that went well."""
    times = {"started_at_utc": f"{day}T22:00:00.000Z", "finished_at_utc": f"{day}T22:10:00.500Z"}
    return {**times, "seconds": seconds, "attempts": 1, "reason": "Succeeded"}


def fingerprint_of(days: int, market: int = 0) -> str:
    """Return the fingerprint of so many days of a market."""
    return f"{market:x}{days:011x}"


def closes(number: int, days: int, market: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return one instrument's closes, as they are stored; one instrument lacks some."""
    steps = np.random.default_rng(number + 1000 * market).normal(0.0005, 0.02, 1000)[:days]
    walk = (100 * np.exp(np.cumsum(steps))).astype(np.float32).astype(np.float64)
    return np.where((number == 7) & (np.arange(days) % 11 == 0), np.nan, walk)


def signals_of(seed: str, days: Sequence[date]) -> pd.DataFrame:
    """Score every instrument on every day, ranked as an export ranks."""
    random = np.random.default_rng(sum(map(ord, seed)))
    rows = [(day, symbol, random.normal()) for day in days for symbol in SYMBOLS]
    table = pd.DataFrame(rows, columns=["date", "instrument", "score"])
    return with_ranks(table.sort_values(["date", "score"], ascending=[True, False], ignore_index=True))

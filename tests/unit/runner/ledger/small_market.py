"""A market of a few instruments on sessions of a real exchange, and the nights of a book on it.

Standard library alone, so that a process that imports this can fork in a millisecond.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.ledger.chain import DECISION
from qlib_shadow_runner.ledger.entries import name_of
from qlib_shadow_runner.ledger.gates import RunFacts
from qlib_shadow_runner.ledger.night import Night, record_night
from qlib_shadow_runner.ledger.rules import Rules, Targets
from qlib_shadow_runner.ledger.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

GOOD = RunFacts(
    golden="passed",
    signals="passed",
    model_age_days=3,
    live_ic="holds",
    live_ic_figure=0.03,
    drift="none",
    coverage=1.0,
)
RULES = Rules(targets=Targets(topk=3, n_drop=1))
BOOK = "us-shadow"
CAPITAL = 1_000_000.0


def sessions_from(first: date, count: int, code: str = "XNYS") -> tuple[date, ...]:
    """Return some sessions of an exchange, from the first on or after a day."""
    found, day = [], first - timedelta(days=1)
    for _ in range(count):
        day = Sessions.of(code).next_session(day)
        found.append(day)
    return tuple(found)


def weekdays(count: int, first: date) -> list[date]:
    """Return some days from Monday to Friday."""
    days = (first + timedelta(days=number) for number in range(2 * count + 2))
    return [day for day in days if day.weekday() < 5][:count]


def chance(*parts: object) -> float:
    """Return a number from 0 to 1 that follows from its arguments."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


@dataclass(frozen=True)
class SmallMarket:
    """Prices of a few instruments; a dataset of it ends on any day."""

    home: Path
    days: tuple[date, ...] = field(default_factory=lambda: sessions_from(date(2026, 3, 2), 12))
    symbols: Sequence[str] = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
    seed: int = 0
    restated: Mapping[str, float] = field(default_factory=dict)
    """By how much the adjusted prices of an instrument are restated."""

    @cached_property
    def closes(self) -> Mapping[str, Sequence[float]]:
        """Return the closes of each instrument."""
        found = {}
        for symbol in self.symbols:
            price, series = 20 + 80 * chance(self.seed, symbol), []
            for day in self.days:
                price *= 1 + 0.04 * (chance(self.seed, symbol, day) - 0.5)
                series.append(price * self.restated.get(symbol, 1.0))
            found[symbol] = series
        return found

    def dataset(self, through: date | None = None) -> Dataset:
        """Return the data that there is on the evening of a day."""
        last = self.days.index(through or self.days[-1])
        folder = self.home / f"data-{self.seed}-{last}-{len(self.restated)}"
        if not folder.exists():
            self._write(folder, last + 1)
        return Dataset(folder)

    def night(self, book: Path, day: date, **others: Any) -> Night:
        """Return the night of a day, after its close."""
        scores = {one: chance("score", self.seed, one, day) for one in self.symbols}
        best = dict(sorted(scores.items(), key=lambda one: -one[1]))
        evening = datetime.combine(day, time(22), UTC)
        run = {
            "runId": f"us-{day}",
            "uid": "3d6c8a1e-0000-4000-8000-000000000001",
            "signalsSha256": hashlib.sha256(repr(best).encode()).hexdigest(),
            "modelSha256": "9" * 64,
            "configHash": "8" * 64,
            "datasetFingerprint": f"{self.days.index(day):064x}",
            "dataset": "/data/qlib/us",
            "live": True,
        }
        night = Night(
            folder=book,
            namespace="research",
            capital=CAPITAL,
            share=None,
            rules=RULES,
            run=run,
            day=day,
            scores=best,
            facts=GOOD,
            benchmark={one: 0.001 for one in self.days if one <= day},
            promise={"mean": 0.0004, "deviation": 0.01, "days": 500},
            clock=lambda: evening,
        )
        if "run" in others:
            others["run"] = {**run, **others["run"]}
        return replace(night, **others)

    def record(self, book: Path, day: date, **others: Any) -> Any:
        """Return the `Recorded` of a night with the data of that evening; tests know what is in it."""
        return record_night(self.night(book, day, **others), self.dataset(day))

    def _write(self, folder: Path, count: int) -> None:
        draft = folder.with_suffix(".draft")
        (draft / "calendars").mkdir(parents=True)
        (draft / "instruments").mkdir()
        days = self.days[:count]
        (draft / "calendars" / "day.txt").write_text("".join(f"{day}\n" for day in days))
        spans = "".join(f"{one}\t{days[0]}\t{days[-1]}\n" for one in self.symbols)
        (draft / "instruments" / "all.txt").write_text(spans)
        for symbol in self.symbols:
            part = draft / "features" / symbol.lower()
            part.mkdir(parents=True)
            closes = self.closes[symbol][:count]
            changes = [0.0, *(new / old - 1 for old, new in pairwise(closes))]
            fields = {
                "close": closes,
                "open": [close * 0.999 for close in closes],
                "factor": [self.restated.get(symbol, 1.0)] * count,
                "volume": [1e6 / self.restated.get(symbol, 1.0)] * count,
                "change": changes,
            }
            for name, values in fields.items():
                (part / f"{name}.day.bin").write_bytes(struct.pack(f"<{count + 1}f", 0, *values))
        draft.rename(folder)


def path_of(kind: str, night: int) -> str:
    """Return the path of an entry in a book of which no night was missed; nights count from 0 on."""
    return name_of(2 * night + (kind == DECISION))


def files_of(book: Path) -> dict[str, bytes]:
    """Return the files of a book, without what is hidden."""
    return {
        path.relative_to(book).as_posix(): path.read_bytes()
        for path in sorted(book.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }

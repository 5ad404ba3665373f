"""The runs as the pages show them: rows of the catalog, kept in memory and read again when they change."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from qlib_shadow_runner.catalog.rows import by_run, scan
from qlib_shadow_runner.runs.listing import ListedRun, artifacts_root

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pyarrow as pa

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.storage.volume import Volume

FRESH_SECONDS: Final = 1.0
"""How long one scan of the volume serves all pages."""
PAGE_ROWS: Final = 100
SORTABLE: Final = (
    "run_id", "status", "dataset_end", "ic", "rank_ic", "annualized_return", "information_ratio",
    "max_drawdown", "started_at", "seconds",
)  # fmt: skip
SEARCHED: Final = ("run_id", "name", "namespace", "market", "template", "dataset_path", "reason", "message")
RUNNING: Final = "running"


@dataclass
class FollowupTable:
    """The scores of past signals, kept in memory and read again when the file changes."""

    volume: Volume
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stamp: tuple[int, int] | None = None
    _table: pa.Table | None = None

    def rows(self) -> list[Row]:
        """Return the rows of live signals: those of the last days of their run's data."""
        found: list[Row] = self._live().to_pylist()
        return found

    def outcomes(self) -> list[Row]:
        """Return the IC of each row, which is all that the series of nights need."""
        found: list[Row] = self._live().select(["run_id", "date", "horizon", "live", "ic"]).to_pylist()
        return found

    def of(self, run_id: str) -> list[Row]:
        """Return the rows of one run."""
        from qlib_shadow_runner.catalog.followup import rows_of  # noqa: PLC0415 - loads pandas

        return rows_of(self._live(), run_id)

    def _live(self) -> pa.Table:
        from qlib_shadow_runner.catalog.followup import followup_file, read_live  # noqa: PLC0415 - as above

        path = followup_file(self.volume)
        with self._lock:
            stamp = _stamp(path)
            if self._table is None or stamp != self._stamp:
                self._table, self._stamp = read_live(path), stamp
            return self._table


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@dataclass
class RunTable:
    """The runs of one volume."""

    volume: Volume
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _rows: list[Row] = field(default_factory=list)
    _until: float = float("-inf")

    def __post_init__(self) -> None:
        """Add the scores of their signals."""
        self.followup = FollowupTable(self.volume)

    def rows(self) -> list[Row]:
        """Return all runs, newest first."""
        with self._lock:
            if self.clock() >= self._until:
                self._rows = scan(self.volume, by_run(self._rows))
                self._until = self.clock() + FRESH_SECONDS
            return self._rows

    def run(self, run_id: str) -> ListedRun | None:
        """Return one run; None where there is no run of this id."""
        if not any(row["run_id"] == run_id for row in self.rows()):
            return None
        return ListedRun.at(artifacts_root(self.volume) / run_id)


@dataclass(frozen=True)
class RunFilter:
    """Which runs are shown, and in which order."""

    status: str = ""
    words: str = ""
    page: int = 1
    sort: str = ""
    """A column of SORTABLE; without one the newest come first."""
    rising: bool = False
    """Whether the smallest come first."""

    def apply(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows with this status that contain every word; those without the value come last."""
        wanted = self.words.lower().split()
        found = [row for row in rows if self.status in ("", row["status"]) and _has(row, wanted)]
        if not self.sort:
            return found
        without = [row for row in found if row[self.sort] is None]
        there = [row for row in found if row[self.sort] is not None]
        return [*sorted(there, key=lambda row: row[self.sort], reverse=not self.rising), *without]

    def address(self, **changed: object) -> str:
        """Return the address of the list with some of these values changed."""
        asked = {
            "status": self.status,
            "q": self.words,
            "page": self.page if self.page > 1 else "",
            "sort": self.sort,
            "order": "rising" if self.rising else "",
            **changed,
        }
        query = urlencode({name: value for name, value in asked.items() if value})
        return f"/runs?{query}" if query else "/runs"

    def sorted_by(self, column: str) -> str:
        """Return the address of the list sorted by a column: the largest first, then the smallest first."""
        rising = "rising" if self.sort == column and not self.rising else ""
        return self.address(sort=column, order=rising, page="")


def _has(row: Row, words: Sequence[str]) -> bool:
    text = " ".join(str(row[name] or "") for name in SEARCHED).lower()
    return all(word in text for word in words)

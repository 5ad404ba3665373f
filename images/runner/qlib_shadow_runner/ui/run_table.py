"""The runs as the pages show them: rows of the catalog, kept in memory and read anew where they changed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.catalog.rows import by_run, scan
from qlib_shadow_runner.runs.listing import ListedRun, artifacts_root

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pyarrow as pa

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.storage.volume import Volume

FRESH: Final = 1.0
"""Seconds in which many open pages cost one look at the volume."""
PAGE: Final = 100
SEARCHED: Final = ("run_id", "name", "namespace", "market", "template", "dataset_path", "reason", "message")
RUNNING: Final = "running"


@dataclass
class FollowupTable:
    """What became of signals, kept in memory and read anew where the file has changed."""

    volume: Volume
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stamp: tuple[int, int] | None = None
    _table: pa.Table | None = None

    def rows(self) -> list[Row]:
        """Give all that counts: of signals whose outcome nobody could know."""
        found: list[Row] = self._live().to_pylist()
        return found

    def of(self, run_id: str) -> list[Row]:
        """Give one run's."""
        from qlib_shadow_runner.catalog.followup import rows_of  # noqa: PLC0415 - it takes pandas

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
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@dataclass
class RunTable:
    """One volume's runs."""

    volume: Volume
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _rows: list[Row] = field(default_factory=list)
    _until: float = float("-inf")

    def __post_init__(self) -> None:
        """Keep what became of their signals as well."""
        self.judged = FollowupTable(self.volume)

    def rows(self) -> list[Row]:
        """Give all runs, newest first."""
        with self._lock:
            if self.clock() >= self._until:
                self._rows = scan(self.volume, by_run(self._rows))
                self._until = self.clock() + FRESH
            return self._rows

    def run(self, run_id: str) -> ListedRun | None:
        """Find one run; a name that no run can have is none."""
        if not any(row["run_id"] == run_id for row in self.rows()):
            return None
        return ListedRun.at(artifacts_root(self.volume) / run_id)


@dataclass(frozen=True)
class RunFilter:
    """Which runs somebody wants to see."""

    status: str = ""
    words: str = ""
    page: int = 1

    def of(self, rows: Sequence[Row]) -> list[Row]:
        """Choose; every word must stand somewhere."""
        wanted = self.words.lower().split()
        return [row for row in rows if self.status in ("", row["status"]) and _has(row, wanted)]


def _has(row: Row, words: Sequence[str]) -> bool:
    told = " ".join(str(row[name] or "") for name in SEARCHED).lower()
    return all(word in told for word in words)

"""The dataset that shows the outcome of a run's signals: a later version of the run's own data.

The name of a dataset says little: two manifests that leave `dataset.path` out share one, and the data of one
market then follows the data of another. So a version is taken only if it goes on where the run's data ended:
its prices moved in the run's last days as in the run's own version, or, where that version is gone, it has
the same feed and the same instruments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.catalog.returns import Closes
from qlib_shadow_runner.dataset.manifest import SUFFIX, DatasetManifest, manifest_path
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.storage.volume import real_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date
    from pathlib import Path

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.storage.volume import Volume

MOST_TRIED: Final = 3
"""The most versions that are examined for one run."""
SAMPLE: Final = 60
"""The most instruments of the run's own version that are compared."""
COMPARED_DAYS: Final = 20
SAME_RETURN: Final = 1e-3
"""Returns of one day that differ by more are of different prices; a new adjustment changes no return."""
ENOUGH: Final = 0.8
"""The share of the days, and of the instruments, that must agree: prices are corrected, instruments end."""


@dataclass(frozen=True)
class _Version:
    folder: Path
    manifest: DatasetManifest

    @property
    def end(self) -> str:
        return self.manifest.calendar_end


@dataclass
class OutcomeData:
    """The later versions of the datasets of a volume, read when first needed."""

    volume: Volume
    since: date
    """The first day of closes that any run needs."""
    refused: dict[str, str] = field(default_factory=dict)
    """The runs for which there is later data, but of other prices, with a sentence."""
    _versions: dict[Path, Sequence[_Version]] = field(default_factory=dict)
    _closes: dict[Path, Closes | None] = field(default_factory=dict)

    def closes_for(self, run: Row) -> Closes | None:
        """Return the closes of a later version of the run's data; None where there is none."""
        tried = ""
        for version in self._later(run):
            closes = self._closes_of(version.folder)
            fault = self._fault(run, closes) if closes is not None else None
            if closes is not None and fault is None:
                self.refused.pop(run["run_id"], None)
                return closes
            tried = (
                tried or f"{version.folder.name} ({version.manifest.feed or version.manifest.source}) {fault}"
            )
        if tried:
            self.refused[run["run_id"]] = tried
        return None

    def _later(self, run: Row) -> Iterator[_Version]:
        """Yield the versions that end later than the run's data: the newest of its feed first."""
        try:
            canonical = self.volume.locate(run["dataset_path"])
        except StageError:  # the path in the metadata is none of this volume
            return
        named = real_path(canonical)
        later = [one for one in self._beside(canonical) if one.end > str(run["dataset_end"])]
        ours = [one for one in later if run["dataset_feed"] and one.manifest.feed == run["dataset_feed"]]
        named_now = [one for one in later if real_path(one.folder) == named]
        newest = sorted(ours, key=lambda one: (one.end, one.manifest.created_utc), reverse=True)
        seen: set[Path] = set()
        for one in (*newest[:1], *named_now, *newest[1:]):
            if one.folder not in seen and len(seen) < MOST_TRIED:
                seen.add(one.folder)
                yield one

    def _beside(self, canonical: Path) -> Sequence[_Version]:
        parent = canonical.parent
        if parent not in self._versions:
            found = []
            for path in sorted(parent.glob(f"*{SUFFIX}")):
                folder, manifest = (
                    path.with_name(path.name.removesuffix(SUFFIX)),
                    DatasetManifest.read(path),
                )
                if manifest is not None and self._is_on_volume(folder):
                    found.append(_Version(folder, manifest))
            self._versions[parent] = found
        return self._versions[parent]

    def _closes_of(self, folder: Path) -> Closes | None:
        if folder not in self._closes:
            self._closes[folder] = Closes.at(folder, self.since)
        return self._closes[folder]

    def _is_on_volume(self, folder: Path) -> bool:
        """Return whether a folder lies there, and no link leads out of the volume."""
        try:
            self.volume.name(real_path(folder))
        except StageError:
            return False
        return folder.is_dir()

    def _fault(self, run: Row, closes: Closes) -> str | None:
        """Return why these closes do not continue the run's data, or None where they do."""
        own = self._own(run)
        if own is not None:
            agree, count = _agreement(own, closes, run["dataset_end"])
            if agree >= ENOUGH * count:
                return None
            return f"has other prices: {agree} of {count} instruments move as in the run's own data"
        if not run["dataset_feed"] or closes.feed != run["dataset_feed"]:
            return "has another source, and the run's own data is gone, so that its prices cannot be compared"
        had = run["dataset_instruments"] or 0
        present = int((~np.isnan(closes.values[closes.index(run["universe_end"])])).sum())
        if present < ENOUGH * had:
            return f"has {present} instruments at the end of the run's data, which had {had}"
        return None

    def _own(self, run: Row) -> Closes | None:
        """Return closes of the version that the run used; None where it is gone or was changed."""
        try:
            folder = self.volume.locate(run["dataset_resolved_path"] or "")
        except StageError:
            return None
        manifest = DatasetManifest.read(manifest_path(folder)) if self._is_on_volume(folder) else None
        if manifest is None or manifest.fingerprint != run["dataset_fingerprint"]:
            return None
        return Closes.at(folder, self.since, SAMPLE)


def _agreement(own: Closes, later: Closes, end: date) -> tuple[int, int]:
    """Return how many instruments have equal returns in the last days of the run's data, and of how many."""
    columns = {symbol: place for place, symbol in enumerate(later.symbols)}
    last = own.index(end)
    first = max(0, last - COMPARED_DAYS)
    days = [later.index(day) for day in own.calendar[first : last + 1]]
    agree = count = 0
    for place, symbol in enumerate(own.symbols):
        mine = _returns(own.values[first : last + 1, place])
        known = ~np.isnan(mine)
        if not known.any():
            continue
        count += 1
        if symbol in columns and min(days) >= 0:
            theirs = _returns(later.values[days, columns[symbol]])
            agree += bool((np.abs(theirs - mine)[known] <= SAME_RETURN).mean() >= ENOUGH)
    return agree, count


def _returns(closes: np.ndarray) -> np.ndarray:
    found: np.ndarray = closes[1:] / closes[:-1] - 1
    return found

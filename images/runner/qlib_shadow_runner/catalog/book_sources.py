"""What is still on a volume of the runs that wrote a book: their data and their signals, if unchanged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import SIGNALS_STEM
from qlib_shadow_runner.contract.spec import run_id_fault
from qlib_shadow_runner.dataset.fingerprint import fingerprint
from qlib_shadow_runner.dataset.manifest import DatasetManifest, is_current, manifest_path
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.export.ranked_signals import read_signals, scores_and_returns, signals_sha256
from qlib_shadow_runner.ledger.sources import Signals
from qlib_shadow_runner.storage.untrusted import names_in
from qlib_shadow_runner.storage.volume import real_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path
    from typing import Any

    from qlib_shadow_runner.storage.volume import Volume

GONE = (StageError, OSError, LookupError, TypeError, ValueError)
"""What looking for something that was removed, moved or changed may end in; it is not there any more then."""


@dataclass(frozen=True)
class VolumeSources:
    """The data and the signals of a volume; `ledger.sources.Sources` says what each method returns."""

    volume: Volume
    _fingerprints: dict[Path, str] = field(default_factory=dict)

    def dataset(self, run: Mapping[str, Any]) -> Dataset | None:
        """Return the dataset that a run names, where it has the fingerprint that the run recorded."""
        try:
            found = dataset_at(self.volume, run["dataset"])
            folder = found.folder
            if folder not in self._fingerprints:
                self._fingerprints[folder] = _fingerprint_of(folder)
            is_same = found.calendar and self._fingerprints[folder] == run["datasetFingerprint"]
        except GONE:
            return None
        return found if is_same else None

    def signals(self, run: Mapping[str, Any], day: date) -> Signals | None:
        """Return a run's signals of a day, where its file has the hash that the run recorded."""
        try:
            if run_id_fault(str(run["runId"])) is not None:
                return None
            folder = self.volume.run_folder(run["runId"])
            names = [f"{SIGNALS_STEM}{suffix}" for suffix in (".parquet", ".csv")]
            (name,) = (one for one in names_in(folder) if one in names)
            table = read_signals(folder / name)[0]
            if signals_sha256(table) != run["signalsSha256"]:
                return None
            rows = table[table["date"] == f"{day}"].sort_values("rank", ignore_index=True)
            return Signals(*scores_and_returns(rows))
        except GONE:
            return None


def dataset_at(volume: Volume, path: object) -> Dataset:
    """Return the dataset at a path that a run has recorded; a link out of the volume is refused."""
    folder = real_path(volume.locate(str(path)))
    volume.name(folder)
    return Dataset(folder)


def _fingerprint_of(folder: Path) -> str:
    """Return the fingerprint: that of the manifest while no file has changed since, else of the files."""
    manifest = DatasetManifest.read(manifest_path(folder))
    if manifest is not None and is_current(manifest, folder):
        return manifest.fingerprint
    return fingerprint(folder)

"""The manifest beside a dataset: where it came from, what it holds, and what it hashed to.

It lies outside the dataset's folder, so that writing it never changes the data.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.dataset.fingerprint import stamp
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.storage.files import read_json_object, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA: Final = 1
SUFFIX: Final = ".manifest.json"


@dataclass(frozen=True)
class DatasetManifest:
    """What is known of one immutable version, or of an adopted folder."""

    source: str
    synthetic: bool
    fingerprint: str
    calendar_start: str
    calendar_end: str
    days: int
    instruments: int
    universes: dict[str, int]
    rows: int
    files: int
    size: int
    stamp: str
    created_utc: str
    inputs: str = ""
    """What the source looked like when it was read, so that the next run need not read it."""
    quality: dict[str, object] = field(default_factory=dict)
    """What was counted, judged as strictly as when a spec says nothing."""
    build: str = ""
    """Which build it was: tells a run that waited whether this one began after it had asked."""
    claims: dict[str, str] = field(default_factory=dict)
    """What the source is known to hold, by the spec's names: region and interval, or nothing."""
    notes: list[str] = field(default_factory=list)
    """What the conversion changed that a reader would not expect, as sentences."""
    schema: int = SCHEMA

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a manifest; one of another schema, or half of one, counts as none."""
        document = read_json_object(path)
        if document is None or document.get("schema") != SCHEMA:
            return None
        try:
            return cls(**document)  # type: ignore[arg-type]
        except TypeError:
            return None

    def write(self, path: Path) -> None:
        """Write the manifest beside its dataset."""
        write_json(path, asdict(self))

    def age_days(self, today: date) -> int:
        """Count the days since the last bar."""
        return (today - date.fromisoformat(self.calendar_end)).days


@dataclass(frozen=True)
class DatasetOrigin:
    """Where a dataset came from, as its manifest will say."""

    source: str
    synthetic: bool = False
    inputs: str = ""
    build: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: DatasetManifest) -> Self:
        """Give what an earlier manifest says."""
        return cls(manifest.source, manifest.synthetic, manifest.inputs, manifest.build, manifest.claims)


def manifest_path(dataset: Path) -> Path:
    """Say where a dataset's manifest lies."""
    return dataset.with_name(dataset.name + SUFFIX)


def is_current(manifest: DatasetManifest, folder: Path) -> bool:
    """Say whether nobody touched the files since the manifest was written."""
    return stamp(folder) == manifest.stamp


def describe(folder: Path, origin: DatasetOrigin) -> DatasetManifest:
    """Verify a dataset wholly and write down what was found; needs numpy."""
    from qlib_shadow_runner.dataset import verification  # noqa: PLC0415 - the fresh path must not pay for numpy
    from qlib_shadow_runner.dataset.prices.conversion_notes import Notes  # noqa: PLC0415
    from qlib_shadow_runner.dataset.quality.assess import assess  # noqa: PLC0415
    from qlib_shadow_runner.dataset.quality.survey import Survey  # noqa: PLC0415

    before = stamp(folder)
    dataset = Dataset(folder)
    counted = Survey(dataset)
    verified = verification.verify_dataset(folder, counted.add)
    return DatasetManifest(
        source=origin.source,
        synthetic=origin.synthetic,
        fingerprint=verified.fingerprint,
        calendar_start=dataset.calendar[0].isoformat(),
        calendar_end=dataset.calendar[-1].isoformat(),
        days=len(dataset.calendar),
        instruments=verification.instrument_count(dataset),
        universes=verification.universe_counts(dataset),
        rows=verified.rows,
        files=verified.files,
        size=verified.size,
        stamp=before,
        inputs=origin.inputs,
        build=origin.build,
        claims=dict(origin.claims),
        notes=Notes.read_sentences(folder),
        quality=assess(counted.findings()).document(),
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )

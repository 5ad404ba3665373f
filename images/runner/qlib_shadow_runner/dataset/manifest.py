"""The dataset manifest: the source, content and fingerprint of a dataset version.

It lies beside the dataset's folder, so that writing it never changes the data.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.contract.strict_json import WHOLE
from qlib_shadow_runner.dataset.fingerprint import stamp
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.errors import DamagedFileError
from qlib_shadow_runner.storage.files import read_json_object, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA: Final = 1
SUFFIX: Final = ".manifest.json"
TYPES: Final = {"str": str, "int": int, "bool": bool, "dict": dict, "list": list}
"""Python's types by the names that annotations begin with."""


@dataclass(frozen=True)
class DatasetManifest:
    """The facts about one immutable version, or about a user's folder."""

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
    """The source's stamp when it was read; while it stays equal the source is not read again."""
    quality: dict[str, object] = field(default_factory=dict)
    """The findings of the quality checks, assessed by the default policy."""
    build: str = ""
    """The id of the build; a run that waited sees from it whether the build began after its own start."""
    claims: dict[str, str] = field(default_factory=dict)
    """The region and interval that the source declares, by the names of the spec's fields; may be empty."""
    feed: str = ""
    """Where the source takes its data from, whatever it holds today; see sources.base.Source."""
    notes: list[str] = field(default_factory=list)
    """Sentences about changes by the conversion that a reader would not expect."""
    schema: int = SCHEMA

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the manifest, or None where it is missing, damaged or of another schema."""
        try:
            document = read_json_object(path)
        except DamagedFileError:
            return None
        if document is None or document.get("schema") != SCHEMA:
            return None
        try:
            json.dumps(document, allow_nan=False)  # it may be written again
            found = cls(**document)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return None
        return found if found.is_well_typed else None

    @property
    def is_well_typed(self) -> bool:
        """Return whether each value is of its field's type; a user may have copied or edited the file."""
        typed = all(
            isinstance(value := getattr(self, one.name), TYPES[str(one.type).partition("[")[0]])
            and (not isinstance(value, int) or value in WHOLE)
            for one in fields(self)
        )
        parts = {str: [*self.claims.values(), *self.notes], int: self.universes.values()} if typed else {}
        inside = all(isinstance(part, kind) for kind, several in parts.items() for part in several)
        return typed and inside and is_day(self.calendar_start) and is_day(self.calendar_end)

    def write(self, path: Path) -> None:
        """Write the manifest beside its dataset."""
        write_json(path, asdict(self))

    def age_days(self, today: date) -> int:
        """Return the number of days since the last bar."""
        return (today - date.fromisoformat(self.calendar_end)).days


@dataclass(frozen=True)
class DatasetOrigin:
    """The part of a dataset manifest that describes the source."""

    source: str
    synthetic: bool = False
    inputs: str = ""
    build: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)
    feed: str = ""

    @classmethod
    def of(cls, manifest: DatasetManifest) -> Self:
        """Return the origin that an earlier manifest records."""
        return cls(
            manifest.source,
            manifest.synthetic,
            manifest.inputs,
            manifest.build,
            manifest.claims,
            manifest.feed,
        )


def is_day(text: str) -> bool:
    """Return whether a text is an ISO date."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def manifest_path(dataset: Path) -> Path:
    """Return the path of a dataset's manifest."""
    return dataset.with_name(dataset.name + SUFFIX)


def is_current(manifest: DatasetManifest, folder: Path) -> bool:
    """Return whether the files are unchanged since the manifest was written."""
    return stamp(folder) == manifest.stamp


def describe(folder: Path, origin: DatasetOrigin) -> DatasetManifest:
    """Verify a whole dataset and return its manifest; this needs numpy."""
    from qlib_shadow_runner.dataset import verification  # noqa: PLC0415 - loads numpy
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
        feed=origin.feed,
        notes=Notes.read_sentences(folder),
        quality=assess(counted.findings()).record(),
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )

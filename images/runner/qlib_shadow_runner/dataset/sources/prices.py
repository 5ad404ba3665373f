"""The source `prices`: the user's own daily bars, as Parquet or CSV files on the volume.

The files are hashed only when their names, sizes or times have changed, and the dataset is built again
only when the hash differs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self
from zoneinfo import ZoneInfo

from qlib_shadow_runner.contract.spec.price_files import PricesSpec
from qlib_shadow_runner.dataset.prices.fault_texts import broken
from qlib_shadow_runner.dataset.prices.price_files import (
    content_digest,
    price_files,
    price_files_in_place,
    stamp,
)
from qlib_shadow_runner.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

CONVERSION: Final = 2
"""Part of the identity: raise it when the conversion changes its bytes."""


@dataclass(frozen=True)
class Prices(PricesSpec):
    """Price files on the volume and how they are read."""

    volume: Volume | None = None
    builds: bool = True
    synthetic: bool = False
    pinned: bool = True
    claims: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a time zone that is not known on this machine."""
        try:
            ZoneInfo(self.timezone or "UTC")
        except (ValueError, KeyError, OSError):
            refuse(
                f'spec.dataset.source.prices.timezone "{self.timezone}" is not a known time zone; '
                "write it as the tz database does, such as Asia/Tokyo"
            )

    def at(self, volume: Volume) -> Self:
        """Return the source with its path resolved on a volume."""
        return replace(self, volume=volume)

    @cached_property
    def inputs(self) -> str:
        """Return a hash over the parameters and the stamp of the files."""
        return hashlib.sha256(f"{self._parameters} {stamp(self._files)}".encode()).hexdigest()

    @cached_property
    def identity(self) -> str:
        """Return the hashes of the files' content and of the parameters, which decide every byte."""
        content = content_digest(self._files)
        parameters = hashlib.sha256(self._parameters.encode()).hexdigest()
        return f"prices content={content[:32]} parameters={parameters[:12]} adjust={self.adjust}"

    @property
    def feed(self) -> str:
        """Return the place of the files."""
        return f"prices {self.path}"

    def build(self, folder: Path) -> None:
        """Convert the files, and refuse the result where a file changed meanwhile."""
        from qlib_shadow_runner.dataset.prices.ingest import ingest  # noqa: PLC0415 - numpy and pyarrow only when building

        before, _ = self.inputs, self.identity
        files, shown = self._files, self._shown
        names = [shown] if self._place.is_file() else [f"{shown}/{file.name}" for file in files]
        ingest(files, names, folder, self)
        if replace(self).inputs != before:
            broken(
                shown,
                "changed while it was read. Write new files under another name on the volume, "
                "and rename them when they are whole.",
            )

    @property
    def _parameters(self) -> str:
        """Return every option that changes a byte, as JSON."""
        return json.dumps(
            {
                "conversion": CONVERSION,
                "columns": dict(sorted(self.columns.items())),
                "timezone": self.timezone,
                "adjust": self.adjust,
                "benchmarks": sorted(self.indices),
                "universe": self.universe,
                "duplicates": self.duplicates,
                "badRows": self.bad_rows,
            }
        )

    @cached_property
    def _files(self) -> list[Path]:
        assert self.volume is not None, "at() has set it"
        if self.volume.prices is not None:
            return price_files_in_place(self._place)
        return price_files(self._place, self.volume.mount, self.path)

    @property
    def _place(self) -> Path:
        assert self.volume is not None, "at() has set it"
        return self.volume.prices or self.volume.locate(self.path)

    @property
    def _shown(self) -> str:
        """Return the path for messages: that of the spec, or where the files are read in its place."""
        return str(self._place) if self.volume is not None and self.volume.prices is not None else self.path

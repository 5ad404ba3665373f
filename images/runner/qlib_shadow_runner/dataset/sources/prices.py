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

from qlib_shadow_runner.contract.spec.sources import PricesSpec
from qlib_shadow_runner.dataset.prices.fault_texts import broken
from qlib_shadow_runner.dataset.prices.price_files import content_digest, price_files, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

CONVERSION: Final = 1
"""Part of the identity: raise it when the conversion changes its bytes."""


@dataclass(frozen=True)
class Prices(PricesSpec):
    """Price files on the volume and how they are read."""

    volume: Volume | None = None
    builds: bool = True
    synthetic: bool = False
    pinned: bool = True
    claims: Mapping[str, str] = field(default_factory=dict)

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
        files = self._files
        names = [self.path] if self._place.is_file() else [f"{self.path}/{file.name}" for file in files]
        ingest(files, names, folder, self)
        if replace(self).inputs != before:
            broken(
                self.path,
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
        return price_files(self._place, self.volume.mount, self.path)

    @property
    def _place(self) -> Path:
        assert self.volume is not None, "at() has set it"
        return self.volume.locate(self.path)

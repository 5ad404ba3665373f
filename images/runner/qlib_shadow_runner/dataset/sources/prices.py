"""The source that most people have: their own daily bars, as Parquet or CSV on the volume.

The question is cheap to ask again: names, sizes and times of the files tell that nothing changed. Only
when they differ are the files hashed, and only when the hash differs is the dataset built anew.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.contract.sources import PricesSpec
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
    """Files on the volume, and how they are to be read."""

    volume: Volume | None = None
    builds: bool = True
    synthetic: bool = False
    pinned: bool = True
    claims: Mapping[str, str] = field(default_factory=dict)

    def at(self, volume: Volume) -> Self:
        """Bind the path to this machine's volume."""
        return replace(self, volume=volume)

    @cached_property
    def inputs(self) -> str:
        """Stamp the files with the parameters: equal means that nothing changed."""
        return hashlib.sha256(f"{self._parameters} {stamp(self._files)}".encode()).hexdigest()

    @cached_property
    def identity(self) -> str:
        """Name what decides every byte of the dataset: the files' content, and how it is read."""
        content = content_digest(self._files)
        parameters = hashlib.sha256(self._parameters.encode()).hexdigest()
        return f"prices content={content[:32]} parameters={parameters[:12]} adjust={self.adjust}"

    def build(self, folder: Path) -> None:
        """Convert, and make sure that nobody wrote to the files meanwhile."""
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
        """Write down every option that changes a byte."""
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
        assert self.volume is not None, "bound by `at` before it is asked anything"
        return price_files(self._place, self.volume.mount, self.path)

    @property
    def _place(self) -> Path:
        assert self.volume is not None, "bound by `at` before it is asked anything"
        return self.volume.locate(self.path)

"""The dataset that a run asks for: the fields of `spec.dataset`, with the source that they name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from qlib_shadow_runner.contract.spec import DatasetFields
from qlib_shadow_runner.dataset.sources import Source, source_of
from qlib_shadow_runner.dataset.sources.existing import Existing

if TYPE_CHECKING:
    from qlib_shadow_runner.storage.volume import Volume


@dataclass(frozen=True)
class DatasetSpec(DatasetFields):
    """Which data, from where, and how fresh."""

    source: Source = field(default_factory=Existing)

    @classmethod
    def of(cls, asked: DatasetFields) -> Self:
        """Add the source, and take the region that it is known to have where the spec says none."""
        source = source_of(asked)
        region = asked.region if "region" in asked.given else source.claims.get("region", asked.region)
        return cls(**{**vars(asked), "region": region, "source": source})

    def at(self, volume: Volume) -> Self:
        """Bind the source to this machine's volume."""
        return replace(self, source=self.source.at(volume))

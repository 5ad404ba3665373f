"""The dataset that a run asks for: the fields of `spec.dataset`, with the source that they name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from qlib_shadow_runner.contract.spec.dataset import DatasetFields
from qlib_shadow_runner.dataset.sources import Source, source_of
from qlib_shadow_runner.dataset.sources.existing import Existing

if TYPE_CHECKING:
    from qlib_shadow_runner.storage.volume import Volume


@dataclass(frozen=True)
class DatasetSpec(DatasetFields):
    """The `spec.dataset` of a run with its source resolved."""

    source: Source = field(default_factory=Existing)

    @classmethod
    def of(cls, asked: DatasetFields) -> Self:
        """Return the spec with its source, and with the source's region where the spec gives none."""
        source = source_of(asked)
        region = asked.region if "region" in asked.given else source.claims.get("region", asked.region)
        return cls(**{**vars(asked), "region": region, "source": source})

    def at(self, volume: Volume) -> Self:
        """Return the spec with its source's paths resolved on a volume."""
        return replace(self, source=self.source.at(volume))

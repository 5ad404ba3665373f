"""The source that makes nothing: the dataset that somebody put on the volume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from qlib_shadow_runner.contract.sources import ExistingSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume


@dataclass(frozen=True)
class Existing(ExistingSpec):
    """Whatever lies at the dataset's path."""

    builds: bool = False
    synthetic: bool = False
    pinned: bool = False
    claims: Mapping[str, str] = field(default_factory=dict)
    identity: str = "existing"

    @property
    def inputs(self) -> str:
        """Say the same: there is nothing else to look at."""
        return self.identity

    def at(self, volume: Volume) -> Self:  # noqa: ARG002 - nothing of it lies on the volume
        """Stay the same on every machine."""
        return self

    def build(self, folder: Path) -> None:
        """Make nothing, ever."""
        raise NotImplementedError(folder)

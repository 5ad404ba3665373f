"""The source that makes nothing: the dataset that somebody put on the volume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from qlib_shadow_runner.fields import check_keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume


@dataclass(frozen=True)
class Existing:
    """Whatever lies at the dataset's path."""

    builds: bool = False
    synthetic: bool = False
    pinned: bool = False
    claims: Mapping[str, str] = field(default_factory=dict)
    identity: str = "existing"

    @classmethod
    def parse(cls, raw: Mapping[str, object]) -> Self:
        """Accept no parameter."""
        check_keys(raw, set(), "spec.dataset.source.existing")
        return cls()

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

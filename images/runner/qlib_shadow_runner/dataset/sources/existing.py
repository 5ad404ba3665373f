"""The source `existing`: a dataset that a user has put on the volume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from qlib_shadow_runner.contract.spec.sources import ExistingSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume


@dataclass(frozen=True)
class Existing(ExistingSpec):
    """The dataset that is at the spec's path."""

    builds: bool = False
    synthetic: bool = False
    pinned: bool = False
    claims: Mapping[str, str] = field(default_factory=dict)
    identity: str = "existing"

    @property
    def feed(self) -> str:
        """Return nothing more than the kind: only the folder itself says which data it holds."""
        return self.identity

    @property
    def inputs(self) -> str:
        """Return the identity, which never changes."""
        return self.identity

    def at(self, volume: Volume) -> Self:  # noqa: ARG002 - nothing of it lies on the volume
        """Return the source unchanged."""
        return self

    def build(self, folder: Path) -> None:
        """Raise, because this source builds nothing."""
        raise NotImplementedError(folder)

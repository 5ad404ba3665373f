"""What every source of a dataset can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Source(Protocol):
    """A way to come by a dataset."""

    @property
    def builds(self) -> bool:
        """Say whether it can make a dataset, or only take the one that is there."""

    @property
    def synthetic(self) -> bool:
        """Say whether the figures are made up, which every report must tell."""

    @property
    def identity(self) -> str:
        """Tell equal questions from different ones: the name with every parameter that matters."""

    def build(self, folder: Path) -> None:
        """Fill an empty folder with calendars, features and instruments."""


@dataclass(frozen=True)
class SourceKind:
    """One entry of the table of sources."""

    default: Callable[[], Source]
    parse: Callable[[Mapping[str, object]], Source]

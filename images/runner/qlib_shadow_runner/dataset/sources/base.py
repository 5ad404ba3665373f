"""What every source of a dataset can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume


class Source(Protocol):
    """A way to come by a dataset."""

    @property
    def builds(self) -> bool:
        """Say whether it can make a dataset, or only take the one that is there."""

    @property
    def synthetic(self) -> bool:
        """Say whether the figures are made up, which every report must tell."""

    @property
    def pinned(self) -> bool:
        """Say whether the identity fixes every byte, whenever the dataset is built."""

    @property
    def claims(self) -> Mapping[str, str]:
        """Say what the data is known to be, by the names of the spec's fields: region, interval."""

    @property
    def identity(self) -> str:
        """Tell equal questions from different ones: the name with every parameter that matters.

        May read whole files; what it says of a dataset's content goes into the manifest.
        """

    @property
    def inputs(self) -> str:
        """Tell cheaply that nothing changed: while this stays the same, so does the identity."""

    def at(self, volume: Volume) -> Source:
        """Bind paths to this machine's volume, before anything else is asked but builds and synthetic."""

    def build(self, folder: Path) -> None:
        """Fill an empty folder with calendars, features and instruments."""

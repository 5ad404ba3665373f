"""The interface of a dataset's source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume


class Source(Protocol):
    """A source of datasets."""

    @property
    def builds(self) -> bool:
        """Whether the source can build a dataset; otherwise it only takes an existing one."""

    @property
    def synthetic(self) -> bool:
        """Whether the prices are made up, which every report must say."""

    @property
    def pinned(self) -> bool:
        """Whether the identity fixes every byte, at whatever time the dataset is built."""

    @property
    def claims(self) -> Mapping[str, str]:
        """The region and interval that the source declares, by the names of the spec's fields."""

    @property
    def identity(self) -> str:
        """The source's name with every parameter that changes the data; the manifest records it.

        Computing it may read whole files.
        """

    @property
    def feed(self) -> str:
        """Where the data comes from, whatever it holds today; the next day's data has the same feed."""

    @property
    def inputs(self) -> str:
        """A value that is cheap to compute; while it stays equal, the identity stays equal too."""

    def at(self, volume: Volume) -> Source:
        """Return the source with its paths on a volume; only `builds` and `synthetic` work before."""

    def build(self, folder: Path) -> None:
        """Fill an empty folder with calendars, features and instruments."""

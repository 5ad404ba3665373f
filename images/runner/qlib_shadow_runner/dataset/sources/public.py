"""The source `qlib`: the public dataset of Qlib's documentation, fetched by Qlib's own command.

It ends in November 2020, which is enough for trials and for comparison with published results but too old
for current research. It has no published checksum, so only the usual verification checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from qlib_shadow_runner.contract.spec.sources import QlibSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume


@dataclass(frozen=True)
class PublicSet(QlibSpec):
    """One of Qlib's public datasets and optionally the mirror that it comes from."""

    builds: bool = True
    synthetic: bool = False
    pinned: bool = False

    @property
    def claims(self) -> Mapping[str, str]:
        """Return the region and interval, which are part of Qlib's name for the set."""
        return {"region": self.region, "interval": self.interval}

    @property
    def identity(self) -> str:
        """Return the set's parameters with the mirror, which may hold other data."""
        mirror = f" url={self.url}" if self.url else ""
        return f"qlib region={self.region} interval={self.interval} version={self.version}{mirror}"

    @property
    def feed(self) -> str:
        """Return the set's name and its mirror: Qlib's own command fetches its newest state."""
        return self.identity

    @property
    def inputs(self) -> str:
        """Return the identity, because no file on the volume is read."""
        return self.identity

    def at(self, volume: Volume) -> Self:  # noqa: ARG002 - nothing of it lies on the volume
        """Return the source unchanged."""
        return self

    def build(self, folder: Path) -> None:
        """Run Qlib's command in an empty folder and keep only the dataset."""
        from qlib_shadow_runner.dataset.archive.qlib_command import run_qlib_data  # noqa: PLC0415 - only when building

        arguments = {"region": self.region, "interval": self.interval, "version": self.version}
        run_qlib_data(folder, arguments, self.url)

"""The public dataset that Qlib's own documentation uses, fetched by Qlib's own command.

It ends in November 2020: enough to try things out and to compare with published results, useless for
research of today, which `maxAgeDays` will say. Nothing states its checksum, so that only the
verification that every dataset goes through vouches for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from qlib_shadow_runner.contract.sources import QlibSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume


@dataclass(frozen=True)
class PublicSet(QlibSpec):
    """Which of Qlib's datasets, and from where if not from its home."""

    builds: bool = True
    synthetic: bool = False
    pinned: bool = False

    @property
    def claims(self) -> Mapping[str, str]:
        """Say what Qlib's own name for the set says."""
        return {"region": self.region, "interval": self.interval}

    @property
    def identity(self) -> str:
        """Name the set; a mirror may hold something else."""
        mirror = f" url={self.url}" if self.url else ""
        return f"qlib region={self.region} interval={self.interval} version={self.version}{mirror}"

    @property
    def inputs(self) -> str:
        """Say the same as the identity: nothing on the volume belongs to the question."""
        return self.identity

    def at(self, volume: Volume) -> Self:  # noqa: ARG002 - nothing of it lies on the volume
        """Stay the same on every machine."""
        return self

    def build(self, folder: Path) -> None:
        """Run Qlib's command in an empty folder and keep what belongs to a dataset."""
        from qlib_shadow_runner.dataset.archive.qlib_command import run_qlib_data  # noqa: PLC0415 - only when building

        arguments = {"region": self.region, "interval": self.interval, "version": self.version}
        run_qlib_data(folder, arguments, self.url)

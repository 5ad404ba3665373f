"""The public dataset that Qlib's own documentation uses, fetched by Qlib's own command.

It ends in November 2020: enough to try things out and to compare with published results, useless for
research of today, which `maxAgeDays` will say. Nothing states its checksum, so that only the
verification that every dataset goes through vouches for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.dataset.archive.url import parse_address
from qlib_shadow_runner.fields import check_keys, choice, refuse, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

WHERE: Final = "spec.dataset.source.qlib"


@dataclass(frozen=True)
class PublicSet:
    """Which of Qlib's datasets, and from where if not from its home."""

    region: str = "us"
    interval: str = "1d"
    version: str = "v2"
    url: str | None = None
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

    @classmethod
    def parse(cls, raw: Mapping[str, object]) -> Self:
        """Read the parameters; all have defaults."""
        check_keys(raw, {"region", "interval", "version", "url"}, WHERE)
        return cls(
            region=choice(raw.get("region", cls.region), ("us", "cn"), f"{WHERE}.region"),
            interval=choice(raw.get("interval", cls.interval), ("1d",), f"{WHERE}.interval"),
            version=_version(raw.get("version", cls.version)),
            url=_mirror(raw["url"]) if raw.get("url") is not None else None,
        )

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


def _version(value: object) -> str:
    version = text(value, f"{WHERE}.version")
    if not re.fullmatch(r"v[0-9]{1,3}", version):
        refuse(f'{WHERE}.version "{version[:20]}" must be v and a number, such as v2')
    return version


def _mirror(value: object) -> str:
    """Take the base of a mirror that has the same files under <version>/."""
    address = parse_address(value, f"{WHERE}.url")
    if address.plain != address.url:
        refuse(f"{WHERE}.url must be the base of a mirror, without ? and #")
    return address.url.rstrip("/")

"""The source `archive`: one file with a dataset, fetched by https or read from the volume.

The identity is the file's content: a mirror, a renewed signature or another file name does not change it,
and a new file under the old name does. Credentials come from the environment (see archive/credentials),
where the operator puts them from the Secret of `credentialsSecret`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.sources import ArchiveSpec
from qlib_shadow_runner.dataset.archive import on_volume
from qlib_shadow_runner.dataset.archive.credentials import Credentials
from qlib_shadow_runner.dataset.archive.url import ArchiveAddress
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume


@dataclass(frozen=True)
class Archive(ArchiveSpec):
    """An archive at a URL with its checksum, or at a path on the volume."""

    volume: Volume | None = None
    builds: bool = True
    synthetic: bool = False
    pinned: bool = True
    claims: Mapping[str, str] = field(default_factory=dict)

    def at(self, volume: Volume) -> Self:
        """Return the source with its path resolved on a volume."""
        return replace(self, volume=volume)

    @cached_property
    def inputs(self) -> str:
        """Return the checksum in the spec, or else the stamp of the file on the volume."""
        return self.identity if self.sha256 else f"archive {self.path} {on_volume.stamp(self._file)}"

    @cached_property
    def identity(self) -> str:
        """Return the identity of the content; it never holds the URL, whose query may be a signature."""
        return f"archive sha256={self.sha256 or on_volume.content_digest(self._file)}"

    @property
    def feed(self) -> str:
        """Return the place of the archive; the query of a URL may be a signature."""
        return f"archive {self.path if self.url is None else ArchiveAddress(self.url).plain}"

    def build(self, folder: Path) -> None:
        """Fetch the archive where it has a URL, and unpack it."""
        from qlib_shadow_runner.dataset.archive.unpack import unpack  # noqa: PLC0415 - only when building

        if self.url is not None and self.sha256 is not None:
            credentials = Credentials.from_environ(os.environ, self.credentials_secret)
            self._fetch_and_unpack(ArchiveAddress(self.url), self.sha256, folder, credentials)
            return
        file, before, _ = self._file, on_volume.stamp(self._file), self.identity
        if self.sha256 is not None:
            on_volume.check_digest(file, str(self.path), self.sha256)
        unpack(file, folder, file.name)
        if on_volume.stamp(file) != before:
            raise StageError(
                Reason.ARCHIVE_INVALID,
                f"{self.path} changed while it was read. Write a new file under another name on the volume, "
                "and rename it when it is whole.",
            )

    @staticmethod
    def _fetch_and_unpack(
        address: ArchiveAddress, sha256: str, folder: Path, credentials: Credentials
    ) -> None:
        from qlib_shadow_runner.dataset.archive import partial  # noqa: PLC0415 - only when building
        from qlib_shadow_runner.dataset.archive.fetch import RetryPolicy, fetch  # noqa: PLC0415
        from qlib_shadow_runner.dataset.archive.time_limit import TimeLimit, download_seconds  # noqa: PLC0415
        from qlib_shadow_runner.dataset.archive.unpack import unpack  # noqa: PLC0415

        file = partial.partial_path(folder, address.plain, sha256)
        partial.sweep_others(folder, file)
        limit = TimeLimit(download_seconds(os.environ))
        fetch(address, sha256, file, credentials=credentials, retry_policy=RetryPolicy(limit=limit))
        try:
            unpack(file, folder, address.name)
        except StageError as failure:
            # A new download would not help, and a full volume stops every run on it.
            if failure.reason in {Reason.ARCHIVE_INVALID, Reason.OUT_OF_DISK}:
                partial.remove(file)
            raise
        partial.remove(file)

    @property
    def _file(self) -> Path:
        assert self.volume is not None, "at() has set it"
        return on_volume.locate(self.volume, str(self.path))

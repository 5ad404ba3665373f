"""The volume: `/data` as the manifest names it, wherever it is really mounted.

A path in a spec always begins with /data, so that one manifest works in a cluster and on a laptop.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import ARTIFACTS, DEFAULT_DATA, ENV_DATA, ENV_PRICES, Reason
from qlib_shadow_runner.errors import StageError, from_os_error
from qlib_shadow_runner.storage.relative_names import name_fault

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Volume:
    """Where the volume is mounted on this machine."""

    mount: Path
    prices: Path | None = None
    """What is read in place of the price files of a spec, wherever it lies; only without a cluster."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Volume:
        """Return the volume that the environment names; the path is made absolute, links stay."""
        mount = Path(os.path.abspath(environ.get(ENV_DATA) or DEFAULT_DATA))  # noqa: PTH100 - keeps links
        prices = environ.get(ENV_PRICES)
        return cls(mount, Path(prices) if prices else None)

    def locate(self, path: str) -> Path:
        """Return where a `/data/…` path lies on this machine."""
        inside = PurePosixPath(path)
        if inside.parts[:2] != ("/", DEFAULT_DATA[1:]) or ".." in inside.parts or "\0" in path:
            raise StageError(
                Reason.INVALID_SPEC, f'"{path}" must be a path under {DEFAULT_DATA}, without ".."'
            )
        below = inside.parts[2:]
        fault = name_fault("/".join(below)) if below else None
        if fault:
            raise StageError(Reason.INVALID_SPEC, f"{path!r} is not a path on the volume: {fault}")
        return self.mount.joinpath(*below)

    def name(self, path: Path) -> str:
        """Return a path of this machine as the cluster sees it."""
        for mount in (self.mount, self.mount.resolve()):
            if path.is_relative_to(mount):
                return str(PurePosixPath(DEFAULT_DATA) / path.relative_to(mount).as_posix())
        raise StageError(
            Reason.INVALID_SPEC,
            f"a link leads to {path}, which leaves the volume {self.mount}. Put the data itself there.",
        )

    def run_folder(self, run_id: str) -> Path:
        """Return the folder of a run."""
        return self.mount / ARTIFACTS / run_id


def real_path(path: Path) -> Path:
    """Return the path without links; of a link to itself the path as it is, where `resolve` would raise."""
    return Path(os.path.realpath(path))


def make_own_folder(path: Path) -> None:
    """Create a folder in which a run writes, or raise where a link would lead its writes elsewhere."""
    make_folder(path)
    if path.is_symlink():
        raise StageError(Reason.VOLUME_NOT_WRITABLE, f"{path} is a link where a folder is needed. Remove it.")


def make_folder(path: Path) -> None:
    """Create a folder on the volume, or raise with which user must be able to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise StageError(
            Reason.VOLUME_NOT_WRITABLE, f"{path} is a file where a folder is needed. Remove it."
        ) from error
    except OSError as error:
        raise from_os_error(error) from error

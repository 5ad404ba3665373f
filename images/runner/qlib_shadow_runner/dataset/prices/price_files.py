"""List the price files, hash them, and stamp them to detect changes.

Standard library only, because this runs for every run.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.prices.fault_texts import broken, listed
from qlib_shadow_runner.errors import StageError, from_os_error
from qlib_shadow_runner.storage.listed_files import sha256_of
from qlib_shadow_runner.storage.volume import real_path

if TYPE_CHECKING:
    from pathlib import Path

PARQUET: Final = (".parquet", ".pq")
CSV: Final = (".csv", ".csv.gz")
KINDS: Final = (*PARQUET, *CSV)
REMEDY: Final = (
    "Put one Parquet or CSV file there, or a folder of them, or correct spec.dataset.source.prices.path. "
    "To use a dataset that is already built, write source: {existing: {}}. Without a cluster, the option "
    "--prices reads files that lie elsewhere."
)
IN_PLACE: Final = "Name a Parquet or CSV file with --prices, or a folder of them."


def price_files(place: Path, mount: Path, name: str) -> list[Path]:
    """Return the files, sorted; messages show `name`, the path in the spec."""
    try:
        files = _files(place, f"{name} on the volume", REMEDY)
        for path in [place, *files]:
            if not real_path(path).is_relative_to(mount.resolve()):
                broken(
                    name, f"leads to {real_path(path)}, outside the volume. Copy it instead of linking it."
                )
    except OSError as error:
        raise from_os_error(error) from error
    return files


def price_files_in_place(place: Path) -> list[Path]:
    """Return the files at a path of this machine, sorted; they need not lie on the volume."""
    try:
        return _files(place, str(place), IN_PLACE)
    except OSError as error:
        raise from_os_error(error) from error


def _files(place: Path, name: str, remedy: str) -> list[Path]:
    if place.is_file():
        if kind_of(place) is None:
            broken(name, f"is not a file of a known kind; its name must end in {', '.join(KINDS)}.")
        return [place]
    if not place.is_dir():
        raise StageError(Reason.DATASET_MISSING, f"there is nothing at {name}. {remedy}")
    inside = sorted(path for path in place.iterdir() if not path.name.startswith((".", "_")))
    files = [path for path in inside if path.is_file() and kind_of(path)]
    if not files:
        there = listed([path.name for path in inside[:5]], len(inside)) or "nothing"
        raise StageError(
            Reason.DATASET_MISSING,
            f"the folder {name} holds no file that ends in {', '.join(KINDS)}; it holds {there}. {remedy}",
        )
    return files


def kind_of(path: Path) -> str | None:
    """Return a file's kind from the suffix of its name in any case, or None."""
    lower = path.name.lower()
    return next((kind for kind in KINDS if lower.endswith(kind) and len(lower) > len(kind)), None)


def stem(path: Path) -> str:
    """Return the name without the suffix, which is the symbol where a file holds one symbol."""
    return path.name[: -len(kind_of(path) or "")]


def stamp(files: list[Path]) -> str:
    """Return the hash of names, sizes and times; while it stays equal no file has changed.

    It includes the change time, because a copy may keep an old modification time.
    """
    digest = hashlib.sha256()
    for path in files:
        stat = path.stat()
        digest.update(
            f"{path} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}\n".encode(errors="surrogateescape")
        )
    return digest.hexdigest()


def content_digest(files: list[Path]) -> str:
    """Return the hash of all bytes and of the names, which may be symbols."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name} {sha256_of(path)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()

"""The key of a matrix: the hash of everything that its values depend on, the engine's code included."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner import engine
from qlib_shadow_runner.dataset.fingerprint import fingerprint
from qlib_shadow_runner.dataset.manifest import DatasetManifest, is_current, manifest_path
from qlib_shadow_runner.storage.source_code import sources_sha256

if TYPE_CHECKING:
    from qlib_shadow_runner.engine.matrix import Universe

MADE_WITH: Final = ("pyqlib", "pandas", "numpy", "numba")
"""Libraries whose versions may change a value."""


@dataclass(frozen=True)
class MatrixIdentity:
    """What a matrix is computed from: dataset, instruments, days and columns."""

    root: Path
    universe: Universe
    span: tuple[int, int]
    columns: tuple[tuple[str, str, str], ...]
    since: int | None = None
    """The first day of the rows, where it is not the first that is computed."""

    def key(self) -> str:
        """Return the key under which the matrix is kept."""
        return _hash(
            {
                "dataset": fingerprint_of(self.root),
                "symbols": self.universe.symbols,
                "spans": self.universe.spans,
                "last": self.span[1],
                "since": self.since,
                **self._without_data,
            }
        )

    def family(self) -> str:
        """Return the hash that this matrix shares with those of other data, instruments and last days."""
        return _hash(self._without_data)

    @property
    def _without_data(self) -> dict[str, object]:
        return {
            "first": self.span[0],
            "columns": self.columns,
            "code": code_version(),
            "machine": platform.machine(),
            "versions": {name: version(name) for name in MADE_WITH},
        }


def _hash(document: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def fingerprint_of(root: Path) -> str:
    """Return the fingerprint from the manifest beside the dataset if it is current, else read every file."""
    manifest = DatasetManifest.read(manifest_path(root))
    return manifest.fingerprint if manifest and is_current(manifest, root) else fingerprint(root)


@functools.cache
def code_version() -> str:
    """Return the hash of the engine's source files, so that other code never finds these matrices."""
    root = Path(engine.__path__[0])
    return sources_sha256(root, [root])

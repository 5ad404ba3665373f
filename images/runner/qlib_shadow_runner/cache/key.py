"""The name of a matrix: everything that its values follow from, the code included."""

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

if TYPE_CHECKING:
    from qlib_shadow_runner.engine.matrix import Universe

MADE_WITH: Final = ("pyqlib", "pandas", "numpy", "numba")


@dataclass(frozen=True)
class MatrixIdentity:
    """What is asked of a dataset."""

    root: Path
    universe: Universe
    span: tuple[int, int]
    columns: tuple[tuple[str, str, str], ...]

    def key(self) -> str:
        """Name the answer."""
        return _hash(
            {
                "dataset": fingerprint_of(self.root),
                "symbols": self.universe.symbols,
                "spans": self.universe.spans,
                "last": self.span[1],
                **self._without_data,
            }
        )

    def family(self) -> str:
        """Name the answers that this one may go on from: other data, other instruments, another last day."""
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
    """Take the fingerprint from the manifest beside the dataset if it still holds, else read every file."""
    manifest = DatasetManifest.read(manifest_path(root))
    return manifest.fingerprint if manifest and is_current(manifest, root) else fingerprint(root)


@functools.cache
def code_version() -> str:
    """Return the hash of the engine's code: another version of it never finds what this one kept."""
    digest = hashlib.sha256()
    root = Path(engine.__path__[0])
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()

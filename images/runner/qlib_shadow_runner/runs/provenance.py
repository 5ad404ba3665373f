"""What makes a run repeatable besides spec and data: the commit, the versions, the image, the limits."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import ENV_GIT_COMMIT, ENV_IMAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.process.limits import Limits

PACKAGES: Final = (
    "qlib-shadow-operator",
    "pyqlib",
    "lightgbm",
    "mlflow-skinny",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
)
"""The packages whose versions may change a figure."""
UNKNOWN: Final = "unknown"


def git_commit(environ: Mapping[str, str]) -> str:
    """Return the commit of this code: the image's, or the checkout's, `-dirty` where it was changed."""
    given = environ.get(ENV_GIT_COMMIT)
    if given:
        return given
    home = Path(__file__).resolve().parent
    root = next((parent for parent in home.parents if (parent / ".git").exists()), None)
    if root is None or not (root / "images" / "runner").is_dir():
        return UNKNOWN
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return UNKNOWN
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "images/runner", "config")
    return f"{commit}-dirty" if changed else commit


def provenance(environ: Mapping[str, str], limits: Limits) -> dict[str, object]:
    """Return the fields of RUN_METADATA.json that describe the code and the machine."""
    return {
        "git_commit": git_commit(environ),
        "image": environ.get(ENV_IMAGE) or None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "limits": {"cpus": limits.cpus, "memory_bytes": limits.memory_bytes, "threads": limits.threads},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", f"safe.directory={root}", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

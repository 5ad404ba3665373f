"""The variables that children see: an allow-list, because qrun renders its file from all of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

INHERITED: Final = frozenset({"PATH", "HOME", "TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV"})
INHERITED_PREFIXES: Final = ("PYTHON", "OPENBLAS_")
"""What is set for OpenBLAS decides the last bits of a correlation."""
THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "ARROW_NUM_THREADS",
)
FONTS: Final = "MPLCONFIGDIR"


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that pass from a stage to its children."""
    return {
        name: value
        for name, value in environ.items()
        if name in INHERITED or name.startswith(INHERITED_PREFIXES)
    }


def child_environment(environ: Mapping[str, str], *, threads: int, scratch: str) -> dict[str, str]:
    """Return the variables that a child needs, and no others."""
    return {
        "HOME": scratch,
        "LANG": "C.UTF-8",
        **inherited(environ),
        **dict.fromkeys(THREADS, str(threads)),
        "TMPDIR": scratch,
        # On a busy node, threads that spin at a barrier take the CPU from those that work: boosting takes
        # three times as long. On a quiet node passive waiting costs nothing.
        "OMP_WAIT_POLICY": "PASSIVE",
        # Some of Qlib's processors start a process for each core, each with its own copy of the data.
        "LOKY_MAX_CPU_COUNT": "1",
        # The backtest's last bits follow the order of sets.
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        # MLflow 3.13 and later refuse the file store otherwise, and report home outside of CI otherwise.
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_DIR": str(empty_repository(Path(scratch))),
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def drawing_environment(environ: Mapping[str, str], scratch: str) -> dict[str, str]:
    """Return the variable that lets Matplotlib find its list of fonts, which takes a second to make.

    An image brings the list in a folder that is read-only, which Matplotlib ignores; so the list is copied to
    scratch. Without such a folder the variable is left out, and the list is in the user's home.
    """
    kept = environ.get(FONTS)
    if not kept:
        return {}
    for made in Path(kept).glob("fontlist-*.json"):
        shutil.copyfile(made, Path(scratch) / made.name)
    return {FONTS: scratch}


def empty_repository(scratch: Path) -> Path:
    """Return an empty repository, for Qlib's calls of git.

    Without one, git prints two pages of usage at each call, or finds the repository of a checkout.
    """
    repository = scratch / ".git"
    for folder in ("objects", "refs"):
        (repository / folder).mkdir(parents=True, exist_ok=True)
    (repository / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
    return repository

"""The loops compiled into an image are used where only a scratch folder is writable."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
import os, sys
from pathlib import Path
from qlib_shadow_runner.engine import compiling
from qlib_shadow_runner.engine.__main__ import main
compiling.IN_IMAGE = Path(sys.argv[1])
if sys.argv[2] == "build":
    main()
from qlib_shadow_runner.engine import kernels
loops = [kernels.rank, kernels.quantile, kernels.regress, kernels.index_of_extreme]
print(sum(sum(loop.stats.cache_hits.values()) for loop in loops), os.environ[compiling.ENV_CACHE])
"""


def import_kernels(home: Path, how: str) -> tuple[int, str]:
    """Import the kernels in a new process; return how many were found compiled, and in which folder."""
    scratch = home / how
    scratch.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(home / "compiled"), how],
        env={**environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=True,
    )
    hits, place = done.stdout.split()
    return int(hits), place


def test_pod_uses_loops_compiled_in_image(tmp_path: Path):
    """The first process compiles all, the second none, and nothing is written into the image's folder."""
    assert import_kernels(tmp_path, "build") == (0, str(tmp_path / "compiled"))
    before = sorted(path.name for path in (tmp_path / "compiled").rglob("*"))
    hits, place = import_kernels(tmp_path, "pod")
    assert hits == 4
    assert place.startswith(str(tmp_path / "pod"))
    assert sorted(path.name for path in (tmp_path / "compiled").rglob("*")) == before

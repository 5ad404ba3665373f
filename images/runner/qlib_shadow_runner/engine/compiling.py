"""Where compiled kernels are kept: beside the source, or in the image, compiled when it was built.

numba keeps what it compiles in a folder that it must be able to write to. In the image nothing is writable
but the scratch folder, so what was compiled for the image is copied there first, 200 KB. Without it
every pod would compile for ten seconds. The code is compiled for the platform and not for the machine at
hand: what was compiled on one machine is valid on another, and on x86-64 no multiplication and addition are
joined into one operation with other last bits.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

IN_IMAGE: Final = Path(__file__).with_name("compiled")
"""Filled when an image is built, by `python -m qlib_shadow_runner.engine`."""
ENV_CACHE: Final = "NUMBA_CACHE_DIR"
ENV_PROCESSOR: Final = "NUMBA_CPU_NAME"


def compiled(signature: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a loop when its module is imported, or take what was compiled before."""
    _settle()
    import numba  # noqa: PLC0415 - after its environment is settled, and only where something is computed

    return numba.njit(signature, nogil=True, cache=True, error_model="numpy")


def _settle() -> None:
    os.environ.setdefault(ENV_PROCESSOR, "generic")
    if ENV_CACHE in os.environ or not IN_IMAGE.is_dir():
        return
    ours = Path(tempfile.mkdtemp(prefix="compiled-"))
    shutil.copytree(IN_IMAGE, ours, dirs_exist_ok=True, copy_function=shutil.copyfile)
    os.environ[ENV_CACHE] = str(ours)

"""Where numba keeps compiled kernels: beside the source, or in the image, compiled when the image was built.

numba needs a writable folder for what it compiles. In a container only the scratch folder is writable, so the
image's compiled kernels are copied there first, 200 KB. Without them every pod would compile for ten seconds.
The code is compiled for the platform and not for the processor at hand: what was compiled on one machine is
valid on another, and on x86-64 no multiplication and addition are fused into one operation with other last
bits.
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
    """Return a decorator that compiles a loop when its module is imported, or loads it compiled."""
    _set_environment()
    import numba  # noqa: PLC0415 - after its environment is set, and only where something is computed

    return numba.njit(signature, nogil=True, cache=True, error_model="numpy")


def _set_environment() -> None:
    os.environ.setdefault(ENV_PROCESSOR, "generic")
    if ENV_CACHE in os.environ or not IN_IMAGE.is_dir():
        return
    ours = Path(tempfile.mkdtemp(prefix="compiled-"))
    shutil.copytree(IN_IMAGE, ours, dirs_exist_ok=True, copy_function=shutil.copyfile)
    os.environ[ENV_CACHE] = str(ours)

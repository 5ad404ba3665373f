"""LightGBM's own library without its Python package, which takes half a second to import pandas and SciPy."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path
from typing import Final

NAME: Final = "lib_lightgbm.so"
PLACES: Final = ("lib", "bin", "..")
"""Where a wheel or a build from source leaves it, from the package's folder on."""


def parse_fault(model: Path) -> str | None:
    """Return why LightGBM cannot read a model's text, or None where it can."""
    library = ctypes.CDLL(str(_place()))
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    rounds, handle = ctypes.c_int(0), ctypes.c_void_p()
    code = library.LGBM_BoosterCreateFromModelfile(
        str(model).encode(), ctypes.byref(rounds), ctypes.byref(handle)
    )
    if code:
        return str(library.LGBM_GetLastError().decode(errors="replace"))
    library.LGBM_BoosterFree(handle)
    return None


def _place() -> Path:
    spec = find_spec("lightgbm")
    assert spec is not None, "it is among the packages of a runner"
    assert spec.origin is not None, "it is a package of files"
    folder = Path(spec.origin).parent
    return next(found for found in (folder / place / NAME for place in PLACES) if found.is_file())

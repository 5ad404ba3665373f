"""Import empyrical without the parts of SciPy that our figures do not use.

empyrical imports SciPy's statistics and optimizers, which take longer to load than Matplotlib, for a few
functions that are not called here. While it is imported it gets stand-ins, which fetch the real function when
they are called.
"""

from __future__ import annotations

import importlib
import math
import sys
import warnings
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import scipy  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PUT_OFF: Final = ("stats", "optimize")
"""What empyrical imports from SciPy."""


class _StandIn(ModuleType):
    """A module whose functions are imported when they are called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments: Any, **more: Any) -> Any:
            return getattr(importlib.import_module(self.__name__), name)(*arguments, **more)

        return call


@contextmanager
def _stand_ins_for_scipy() -> Iterator[None]:
    """Put the stand-ins into sys.modules for the time of an import."""
    found = [name for name in PUT_OFF if f"scipy.{name}" not in sys.modules]
    for name in found:
        stand_in = _StandIn(f"scipy.{name}")
        sys.modules[stand_in.__name__] = stand_in
        setattr(scipy, name, stand_in)
    try:
        yield
    finally:
        for name in found:
            del sys.modules[f"scipy.{name}"]
            delattr(scipy, name)


with _stand_ins_for_scipy():
    import empyrical.stats as empyrical  # type: ignore[import-untyped]

__all__ = ["empyrical"]


def finite(value: float | None) -> float | None:
    """Return the number, or None if it is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


@contextmanager
def undefined_is_nan() -> Iterator[None]:
    """Suppress the warnings about figures of too few days, which are NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield

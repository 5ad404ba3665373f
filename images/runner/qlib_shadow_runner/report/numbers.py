"""Figures that may not exist: a number that is one, or None."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def finite(value: float | None) -> float | None:
    """Give the number, or None where there is none."""
    return float(value) if value is not None and math.isfinite(value) else None


@contextmanager
def undefined_is_nan() -> Iterator[None]:
    """Let figures of too few days be NaN without a warning for each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield

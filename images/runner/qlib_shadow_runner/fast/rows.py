"""The rows of a matrix: by day, then by instrument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qlib_shadow_runner.fast.layout import Whole


@dataclass(frozen=True)
class Rows:
    """The rows, as places in the calendar and among the universe's instruments."""

    days: Whole
    instruments: Whole

"""Format values for people; a missing one is a dash."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ABSENT: Final = "\N{EN DASH}"
MINUS: Final = "\N{MINUS SIGN}"
STEPS: Final = 5
"""The number of tints of a heat map on each side of zero."""


def percent(value: object, digits: int = 1) -> str:
    """Return a share in percent."""
    return ABSENT if not _is_number(value) else _minus(f"{value * 100:.{digits}f}%")


def signed(value: object, digits: int = 1) -> str:
    """Return a share in percent with its sign."""
    return ABSENT if not _is_number(value) else _minus(f"{value * 100:+.{digits}f}%")


def figure(value: object, digits: int = 2) -> str:
    """Return a number."""
    return ABSENT if not _is_number(value) else _minus(f"{value:.{digits}f}")


def points(value: object) -> str:
    """Return a share in basis points."""
    return ABSENT if not _is_number(value) else _minus(f"{value * 1e4:+.1f}")


def hundredths(value: object) -> str:
    """Return a share in percent without the percent sign, for narrow cells."""
    return "" if not _is_number(value) else _minus(f"{value * 100:.1f}")


def mean(row: Mapping[int, float]) -> float:
    """Return the mean of a year's months."""
    return sum(row.values()) / len(row)


def heat(value: object, most: float) -> str:
    """Return the CSS class of a heat map's cell: the farther from zero, the stronger."""
    if not _is_number(value) or not most:
        return ""
    step = min(STEPS, round(abs(value) / most * STEPS))
    return f"{'up' if value >= 0 else 'down'}{step}" if step else ""


def tone(value: object) -> str:
    """Return the CSS class of a gain or a loss."""
    return "" if not _is_number(value) or not value else "gain" if value > 0 else "loss"


def span(seconds: object) -> str:
    """Return a duration."""
    if not _is_number(seconds):
        return ABSENT
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"  # noqa: PLR2004


def size(count: object) -> str:
    """Return a size in bytes with its unit."""
    return ABSENT if not isinstance(count, int) else f"{count / 2**20:,.0f} MiB"


def day(value: object) -> str:
    """Return a day, or a dash."""
    return ABSENT if value is None else f"{value:%Y-%m-%d}"


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _minus(text: str) -> str:
    """Replace the hyphen by a minus sign, and remove the sign of a rounded zero."""
    return text.replace("-", MINUS) if re.search("[1-9]", text) else text.lstrip("+-")


FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    "percent": percent, "signed": signed, "figure": figure, "points": points,
    "hundredths": hundredths, "mean": mean, "heat": heat, "tone": tone,
    "span": span, "size": size, "day": day,
}  # fmt: skip

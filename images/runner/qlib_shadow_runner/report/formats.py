"""Numbers as people read them; what is not there is a dash."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ABSENT: Final = "\N{EN DASH}"
MINUS: Final = "\N{MINUS SIGN}"
STEPS: Final = 5
"""How many tints a heat map has on each side."""


def percent(value: object, digits: int = 1) -> str:
    """Show a share."""
    return ABSENT if not _is_number(value) else _minus(f"{value * 100:.{digits}f}%")


def signed(value: object, digits: int = 1) -> str:
    """Show a share with its sign."""
    return ABSENT if not _is_number(value) else _minus(f"{value * 100:+.{digits}f}%")


def figure(value: object, digits: int = 2) -> str:
    """Show a number."""
    return ABSENT if not _is_number(value) else _minus(f"{value:.{digits}f}")


def points(value: object) -> str:
    """Show a share in basis points."""
    return ABSENT if not _is_number(value) else _minus(f"{value * 1e4:+.1f}")


def hundredths(value: object) -> str:
    """Show a share in percent without its sign of percent, where there is no room for it."""
    return "" if not _is_number(value) else _minus(f"{value * 100:.1f}")


def mean(row: Mapping[int, float]) -> float:
    """Average the months of a year."""
    return sum(row.values()) / len(row)


def heat(value: object, most: float) -> str:
    """Name the tint of a cell: the further from zero, the stronger."""
    if not _is_number(value) or not most:
        return ""
    step = min(STEPS, round(abs(value) / most * STEPS))
    return f"{'up' if value >= 0 else 'down'}{step}" if step else ""


def tone(value: object) -> str:
    """Tell gain from loss."""
    return "" if not _is_number(value) or not value else "gain" if value > 0 else "loss"


def span(seconds: object) -> str:
    """Show how long something took."""
    if not _is_number(seconds):
        return ABSENT
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"  # noqa: PLR2004


def size(count: object) -> str:
    """Show bytes."""
    return ABSENT if not isinstance(count, int) else f"{count / 2**20:,.0f} MiB"


def day(value: object) -> str:
    """Show a day, or that it has not come."""
    return ABSENT if value is None else f"{value:%Y-%m-%d}"


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _minus(text: str) -> str:
    """Write a minus as one, and none where nothing is left to be less."""
    return text.replace("-", MINUS) if re.search("[1-9]", text) else text.lstrip("+-")


FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    "percent": percent, "signed": signed, "figure": figure, "points": points,
    "hundredths": hundredths, "mean": mean, "heat": heat, "tone": tone,
    "span": span, "size": size, "day": day,
}  # fmt: skip

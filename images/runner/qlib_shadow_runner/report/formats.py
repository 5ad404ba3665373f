"""Format values for people; a missing one is a dash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.texts import ABSENT, figure, is_number, percent, with_minus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MANY: Final = 100
STEPS: Final = 5
"""The number of tints of a heat map on each side of zero."""


def signed(value: object, digits: int = 1) -> str:
    """Return a share in percent with its sign."""
    return ABSENT if not is_number(value) else with_minus(f"{value * 100:+.{digits}f}%")


def points(value: object) -> str:
    """Return a share in basis points."""
    return ABSENT if not is_number(value) else with_minus(f"{value * 1e4:+.1f}")


def hundredths(value: object) -> str:
    """Return a share in percent without the percent sign, for narrow cells."""
    return "" if not is_number(value) else with_minus(f"{value * 100:.1f}")


def mean(row: Mapping[int, float]) -> float:
    """Return the mean of a year's months."""
    return sum(row.values()) / len(row)


def heat(value: object, most: float) -> str:
    """Return the CSS class of a heat map's cell: the farther from zero, the stronger."""
    if not is_number(value) or not most:
        return ""
    step = min(STEPS, round(abs(value) / most * STEPS))
    return f"{'up' if value >= 0 else 'down'}{step}" if step else ""


def tone(value: object) -> str:
    """Return the CSS class of a gain or a loss."""
    return "" if not is_number(value) or not value else "gain" if value > 0 else "loss"


def span(seconds: object) -> str:
    """Return a duration."""
    if not is_number(seconds):
        return ABSENT
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"  # noqa: PLR2004


def size(count: object) -> str:
    """Return a size in bytes with its unit."""
    return ABSENT if not isinstance(count, int) else f"{count / 2**20:,.0f} MiB"


def amount(value: object) -> str:
    """Return a number of shares: whole ones where there are many."""
    if not is_number(value):
        return ABSENT
    return with_minus(f"{value:,.0f}" if abs(value) >= MANY else f"{value:,.2f}")


def day(value: object) -> str:
    """Return a day, or a dash."""
    return ABSENT if value is None else f"{value:%Y-%m-%d}"


FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    "percent": percent, "signed": signed, "figure": figure, "points": points,
    "hundredths": hundredths, "mean": mean, "heat": heat, "tone": tone,
    "span": span, "size": size, "day": day, "amount": amount,
}  # fmt: skip

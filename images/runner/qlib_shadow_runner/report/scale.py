"""The area of a chart that is drawn as plain SVG: its heights, the lines of its grid and their labels.

The charts of live IC, of followups and of books share it. It only computes; the templates draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

WIDTH: Final = 720
HEIGHT: Final = 260
GAP: Final = 8
LETTER_WIDTH: Final = 14
"""Width of a letter beside the grid on a phone, where letters must be large."""
RIGHT: Final = 16
TOP: Final = 14
BOTTOM: Final = 28
STEPS: Final = (1.0, 2.0, 5.0, 10.0)
NOISE: Final = 1e-9
"""A sum of steps is not exactly the number that it stands for."""
GRID_LINES: Final = 5
"""About how many lines of the grid are drawn."""


def bounds(low: float, high: float) -> tuple[float, float, float]:
    """Return round numbers below and above the values, and the step between grid lines."""
    span = max(high - low, 1e-6)
    power = 1e-7
    while power * STEPS[-1] * GRID_LINES < span:
        power *= 10
    step = next(step * power for step in STEPS if step * power * GRID_LINES >= span)
    first = int(low // step) * step
    last = first + step
    while last < high - step * NOISE:
        last += step
    return first, last, step


def label(value: float) -> str:
    """Return the label of a grid line."""
    return f"{round(value, 8) + 0:.6g}".replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class Scale:
    """Where a value lies in a chart of one size."""

    low: float
    high: float
    grid: Sequence[tuple[float, str]]
    """Heights with their labels."""
    left: int
    """Where the area begins: right of the labels."""
    height: int = HEIGHT

    @classmethod
    def of(
        cls, values: Iterable[float], labelled: Callable[[float], str] = label, height: int = HEIGHT
    ) -> Self:
        """Return the scale on which all these values, and zero, have a place."""
        found = [0.0, *values]
        low, high, step = bounds(min(found), max(found))
        heights = [low + step * place for place in range(round((high - low) / step) + 1)]
        texts = [labelled(one) for one in heights]
        left = GAP + LETTER_WIDTH * max(len(one) + one.count("%") for one in texts)  # it is a wide letter
        bare = cls(low, high, (), left, height)
        return cls(low, high, [(bare.y(one), labelled(one)) for one in heights], left, height)

    def y(self, value: float) -> float:
        """Return the height of a value."""
        area = self.height - TOP - BOTTOM
        return round(TOP + area * (self.high - value) / (self.high - self.low), 1)

    @property
    def width(self) -> int:
        """Return the width of the area."""
        return WIDTH - self.left - RIGHT

    def points(self, count: int) -> list[float]:
        """Return where so many points of a line lie, from one end of the area to the other."""
        return [round(self.left + self.width * place / max(1, count - 1), 1) for place in range(count)]

    def middles(self, count: int) -> list[float]:
        """Return where the middles of so many bars lie."""
        return [round(self.left + self.width / count * (place + 0.5), 1) for place in range(count)]

    def ends(self, first: object, last: object) -> list[tuple[float, str, str]]:
        """Return the labels below the area, with their positions and text anchors."""
        return [(float(self.left), str(first), "start"), (float(WIDTH - RIGHT), str(last), "end")]

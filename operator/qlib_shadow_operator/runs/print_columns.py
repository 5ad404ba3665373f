"""The rounded figures that `kubectl get` prints; the exact ones are in status.metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_operator.runs.model import Figures

NONE: Final = "-"


WIDTH_MAX: Final = 16
"""Characters of a column, by the CRD."""


def _plain(value: float) -> str:
    return _short(f"{value:.3f}", f"{value:.3g}")


def _percent(value: float) -> str:
    return _short(f"{value * 100:.1f}%", f"{value * 100:.3g}%")


def _short(usual: str, of_a_large_number: str) -> str:
    return usual if len(usual) <= WIDTH_MAX else of_a_large_number


COLUMNS: Final[tuple[tuple[str, str, Callable[[float], str]], ...]] = (
    ("ic", "ic", _plain),
    ("rankIc", "rankIc", _plain),
    ("annualizedReturn", "annualizedReturn", _percent),
    ("maxDrawdown", "maxDrawdown", _percent),
)
"""Column, metric, format."""


def summarize(stage: str | None, dataset: Figures, metrics: Figures) -> dict[str, str]:
    """Return a value for every column; an unknown one is "-"."""
    figures = {column: _formatted(metrics.get(metric), form) for column, metric, form in COLUMNS}
    return {"stage": stage or NONE, "dataEnd": str(dataset.get("calendarEnd", NONE)), **figures}


def _formatted(value: str | float | None, form: Callable[[float], str]) -> str:
    return NONE if value is None or isinstance(value, str) else form(value)

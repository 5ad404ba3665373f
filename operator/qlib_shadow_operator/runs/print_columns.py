"""The rounded figures that `kubectl get` prints; the exact ones are in status.metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.runs.model import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_operator.runs.model import Figures

NONE: Final = "-"
BEHIND: Final = "behind"
"""What a result says of a run whose day is before the book's."""


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


def summarize(
    stage: str | None, dataset: Figures, metrics: Figures, ledger: Figures = NOTHING
) -> dict[str, str]:
    """Return a value for every column; an unknown one is "-", and that of a run without a ledger is empty."""
    figures = {column: _formatted(metrics.get(metric), form) for column, metric, form in COLUMNS}
    kept = {"ledger": decided(ledger)} if ledger else {}
    return {"stage": stage or NONE, "dataEnd": str(dataset.get("calendarEnd", NONE)), **figures, **kept}


def decided(ledger: Figures) -> str:
    """Return what the book has decided, in one word; a decision that came too late is Late."""
    if ledger.get("recorded") == BEHIND:
        return "Behind"
    return "Late" if ledger.get("late") else str(ledger.get("decision", NONE))


def _formatted(value: str | float | None, form: Callable[[float], str]) -> str:
    return NONE if value is None or isinstance(value, str) else form(value)

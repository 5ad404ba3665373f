"""What figures and verdict need of RUN_METADATA.json besides the recorder's outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class RunFacts:
    """Label, portfolio and instruments: horizon, days ahead, places, and how many end within the data."""

    horizon: int = 1
    ahead: int = 2
    topk: int | None = None
    instruments: int | None = None
    ended: int | None = None
    instrument_years: float | None = None

    @classmethod
    def of(cls, metadata: Mapping[str, object]) -> RunFacts:
        """Return the facts; a value that is missing or has another type is None.

        A run that is older than its label's horizon says how far the label looks ahead, which is never less.
        """
        strategy, lives = _inside(metadata, "strategy"), _inside(metadata, "market_lives")
        ahead = _whole(metadata.get("label_looks_ahead_days"))
        horizon = _whole(metadata.get("label_horizon_days")) or ahead or 1
        return cls(
            horizon=horizon,
            ahead=ahead or horizon + 1,
            topk=_whole(strategy.get("topk")),
            instruments=_whole(metadata.get("market_size")),
            ended=_whole(lives.get("ended")),
            instrument_years=_number(lives.get("instrument_years")),
        )


def _inside(metadata: Mapping[str, object], key: str) -> Mapping[str, Any]:
    found = metadata.get(key)
    return found if isinstance(found, dict) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

"""Holdings without a new price: an instrument that has no bars cannot be sold, and keeps its last value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from qlib_shadow_runner.analysis.positions import Held, Positions

QUIET_DAYS: Final = 20
"""A month of trading; a suspension is usually shorter."""


@dataclass(frozen=True)
class Frozen:
    """The day on which most of the account had no new price for long, and the largest such holding."""

    day: str
    share: float
    """Of the account, in all instruments without a new price for more than QUIET_DAYS."""
    instrument: str
    longest: int
    """Days without a new price, of this instrument."""
    until_end: bool

    @classmethod
    def of(cls, positions: Positions) -> Frozen | None:
        """Return the worst day, or None where every price is new enough."""
        worst, where = 0.0, -1
        ages = _ages(positions)
        for number, (_, held) in enumerate(positions):
            share = sum(held[name].weight for name, age in ages[number].items() if age > QUIET_DAYS)
            if share > worst:
                worst, where = share, number
        if where < 0:
            return None
        day, held = positions[where]
        quiet = [name for name, age in ages[where].items() if age > QUIET_DAYS]
        name = max(quiet, key=lambda one: held[one].weight)
        longest, last = ages[where][name], where
        while last + 1 < len(ages) and ages[last + 1].get(name) == longest + 1:
            last, longest = last + 1, longest + 1
        return cls(f"{day:%Y-%m-%d}", worst, name, longest, until_end=last == len(positions) - 1)


def _ages(positions: Positions) -> list[dict[str, int]]:
    """Return, for each day, for how many days each holding has had the price that it has."""
    found: list[dict[str, int]] = []
    before: Held = {}
    for _, held in positions:
        old = found[-1] if found else {}
        found.append(
            {
                name: old[name] + 1 if name in old and before[name].price == one.price else 0
                for name, one in held.items()
            }
        )
        before = held
    return found

"""Which instruments are sold and bought: the choice of Qlib's TopkDropoutStrategy, by its steps in its order.

It follows `TopkDropoutStrategy.generate_trade_decision` in Qlib's `qlib/contrib/strategy/signal_strategy.py`
(Copyright (c) Microsoft Corporation, MIT License; its text is in engine/kernels.py). What follows from that:

- an instrument without a score ranks last;
- the count of candidates and of purchases may be negative, and then leaves out the last ones;
- with an `n_drop` of 0, all that is held is sold: Qlib's "last 0" is everything.

Equal scores, and sales, are ordered by name, so that each machine chooses the same. Qlib leaves equal scores
to an unstable sort, whose result depends on the processor, and sales to the order of a Python set, which
changes with each process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


@dataclass(frozen=True)
class Choice:
    """What to sell, by name, and what to buy, the best first."""

    sell: tuple[str, ...]
    buy: tuple[str, ...]
    tied: bool = False
    """Whether the last that is bought has the same score as the first that is not."""


def choose(scores: Mapping[str, float], held: Collection[str], topk: int, n_drop: int) -> Choice:
    """Return the choice of a day from its scores and from what is held."""
    others = ranked((name for name in scores if name not in held), scores)
    candidates = others[: n_drop + topk - len(held)]
    worst = frozenset(ranked([*held, *candidates], scores)[-n_drop:])
    sell = tuple(sorted(worst.intersection(held)))
    buy = candidates[: len(sell) + topk - len(held)]
    tied = 0 < len(buy) < len(others) and scores[buy[-1]] == scores[others[len(buy)]]
    return Choice(sell, tuple(buy), tied)


def ranked(names: Iterable[str], scores: Mapping[str, float]) -> list[str]:
    """Return instruments in order, the best first and those without a score last."""

    def place(name: str) -> tuple[bool, float, str]:
        score = scores.get(name, math.nan)
        return (True, 0.0, name) if math.isnan(score) else (False, -score, name)

    return sorted(names, key=place)

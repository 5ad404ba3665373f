"""How the money is divided among the wanted instruments: equally, by expected return, or by volatility."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qlib_shadow_runner.ledger.quotes import Quotes

WINDOW: Final = 60
"""The trading days over which volatility is measured."""
FEWEST: Final = 20
"""Fewer daily returns give no volatility."""


@dataclass(frozen=True)
class Shares:
    """The share of the account of each instrument; together, the degree of investment."""

    weights: Mapping[str, float]
    notes: tuple[str, ...] = ()


def equal(names: Sequence[str], degree: float, *notes: str) -> Shares:
    """Return equal weights."""
    return Shares({name: degree / len(names) for name in names}, notes)


def by_score(names: Sequence[str], expected: Mapping[str, float], degree: float) -> Shares:
    """Return weights in proportion to the expected returns: nothing for an instrument that expects a loss.

    One whose return is not known counts as the mean of those that are. With none above zero, all are equal.
    """
    known = {name: max(0.0, expected[name]) for name in names if math.isfinite(expected.get(name, math.nan))}
    if not known:
        return equal(names, degree, "No expected returns are known: the weights are equal.")
    if not any(known.values()):
        return equal(names, degree, "No expected return is above zero: the weights are equal.")
    return _in_proportion(names, known, degree, "expected return")


def by_inverse_volatility(names: Sequence[str], quotes: Quotes, index: int, degree: float) -> Shares:
    """Return weights in inverse proportion to the standard deviation of the last days' returns.

    One with too few returns, or without any change of its price, counts as the mean of the others.
    """
    known = {name: 1 / found for name in names if (found := volatility(quotes, name, index)) is not None}
    if not known:
        return equal(
            names,
            degree,
            f"No instrument has {FEWEST} daily returns in {WINDOW} days: the weights are equal.",
        )
    return _in_proportion(names, known, degree, "volatility")


def volatility(quotes: Quotes, symbol: str, index: int) -> float | None:
    """Return the deviation of the last 60 days' returns; None for too few, or where no price changed."""
    days = range(max(0, index - WINDOW), index + 1)
    closes = [close for day in days if (close := quotes.get("close", symbol, day)) > 0]
    returns = [later / earlier - 1 for earlier, later in itertools.pairwise(closes)]
    if len(returns) < FEWEST:
        return None
    return _deviation(returns) or None


def _deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample, by sums that each version of Python rounds alike."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((one - mean) ** 2 for one in values) / (len(values) - 1))


def _in_proportion(names: Sequence[str], known: Mapping[str, float], degree: float, what: str) -> Shares:
    mean = math.fsum(known.values()) / len(known)
    sizes = {name: known.get(name, mean) for name in names}
    total = math.fsum(sizes.values())
    unknown = [name for name in names if name not in known]
    notes = [f"No {what} is known of {_list(unknown)}: counted as the mean of the others."] if unknown else []
    return Shares({name: degree * size / total for name, size in sizes.items()}, tuple(notes))


def _list(names: Iterable[str]) -> str:
    first, *rest = names
    return f"{first} and {len(rest)} more" if rest else first

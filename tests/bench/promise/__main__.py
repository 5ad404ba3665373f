"""`make calibrate-promise`: count how often chance leads a book out of its bands in five years.

It prints the tables of docs/books.md. The exit code is 1 where more than one book in twenty leaves the bands
of ledger/bands.py by chance.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

import numpy as np
from tests.bench.promise.books import books, differences, distances

from qlib_shadow_runner.ledger.bands import FEWEST, OF_PROMISE, OF_TRACKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_FALSE: Final = 0.05
BACKTESTS: Final = (120, 250, 500, 720)
"""Days of the backtests behind a book's decisions."""
BUSY: Final = (0.02, 0.1, 0.3, 1.0)
"""The shares of days on which paper account and backtest differ."""
LOST: Final = (0.1, 0.2, 0.3)
"""Deviations a day that a book earns less than was promised."""
NAIVE: Final = 2.0


def main() -> int:
    """Read the flags, simulate, print the tables."""
    parser = argparse.ArgumentParser(
        prog="make calibrate-promise", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--books", type=int, default=6000, help="of five years, for each row")
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    worst = [_of_promise(flags.seed, flags.books), _of_tracking(flags.seed, flags.books)]
    _delays(flags.seed, flags.books)
    return int(max(worst) > MOST_FALSE)


def _of_promise(seed: int, many: int) -> float:
    _tell("| backtest | left within five years | the same by two deviations from the first day |")
    _tell("|---|---:|---:|")
    found = []
    for days in BACKTESTS:
        for moves in (False, True):
            nights = distances(books(np.random.default_rng((seed, days)), many, days, moves=moves))
            left = share(nights[:, FEWEST - 1 :], OF_PROMISE)
            kind = "of each night" if moves else "made once"
            _tell(f"| {days} days, {kind} | {left:.1%} | {share(nights, NAIVE):.0%} |")
            found.append(left)
    return max(found)


def _of_tracking(seed: int, many: int) -> float:
    _tell("\n| days on which the accounts differ | left within five years |")
    _tell("|---:|---:|")
    found = []
    for busy in BUSY:
        left = share(differences(np.random.default_rng(seed), many, busy)[:, FEWEST - 1 :], OF_TRACKING)
        _tell(f"| {busy:.0%} | {left:.1%} |")
        found.append(left)
    return max(found)


def _delays(seed: int, many: int) -> None:
    _tell("\n| earns less by, a day | found within one year | within five |")
    _tell("|---:|---:|---:|")
    for lost in LOST:
        made = books(np.random.default_rng(seed), many, BACKTESTS[-1], moves=False, lost=lost)
        nights = distances(made)[:, FEWEST - 1 :]
        year = share(nights[:, : 252 - FEWEST + 1], OF_PROMISE)
        _tell(f"| {lost} deviations | {year:.0%} | {share(nights, OF_PROMISE):.0%} |")


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def share(nights: NDArray[np.float64], limit: float) -> float:
    """Return the share of books, a row each, that are ever beyond a limit."""
    return float((nights > limit).any(axis=1).mean())


if __name__ == "__main__":
    sys.exit(main())

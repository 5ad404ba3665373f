"""`make calibrate-verdict`: how many reports of noise claim something, and how many of a weak signal find it.

The exit code is 1 where noise makes more claims, or a signal is found more rarely, than the limits below.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from tests.bench.verdict.made_markets import MODELS, Model, knowing, noise
from tests.bench.verdict.reports import report_on

from qlib_shadow_runner.analysis.verdict import NO_CLAIM

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qlib_shadow_runner.analysis.chance import Chance

YEAR: Final = 252
CELLS: Final = tuple((days, horizon) for days in (YEAR, 945) for horizon in (1, 5, 20))
"""The days of a test segment, and the label's horizon."""
MOST_FALSE: Final = 0.08
"""At most this share of reports on noise may claim a signal, a profit or a loss."""
FEWEST_FOUND: Final = 0.80
WEAK_IC: Final = 0.03
NAIVE: Final = 2.0
"""The t above which a mean would be beyond chance if days were independent."""


@dataclass
class Count:
    """Reports of one kind, and how many of them claim something."""

    reports: int = 0
    claims: int = 0
    ic: int = 0
    profit: int = 0
    naive: int = 0
    """How many would claim something if days were independent."""
    deviations: list[float] = field(default_factory=list)

    def add(self, model: Model) -> None:
        """Make one report, and count what it claims."""
        figures, verdict = report_on(model)
        assert figures.ic is not None
        assert figures.summary is not None
        self.reports += 1
        self.claims += verdict.headline.partition(";")[0] not in NO_CLAIM
        self.ic += _claims(figures.ic.chance)
        self.profit += _claims(figures.summary.excess)
        excess = model.portfolio - model.returns.mean(axis=1)
        self.naive += any(abs(_naive(values)) >= NAIVE for values in (model.ic, excess))
        self.deviations.append(float(np.nanstd(model.ic)))

    def row(self, name: str) -> str:
        """Return a line of the table."""
        cells = (self.reports, self.naive, self.claims, self.ic, self.profit)
        shown = " | ".join(str(cell) for cell in cells)
        return f"| {name} | {shown} | {np.mean(self.deviations):.2f} |"


def calibrate(reports: int, seed: int) -> dict[tuple[int, int], Count]:
    """Return the counts of reports on noise, by days and horizon."""
    found = {cell: Count() for cell in CELLS}
    for number in range(reports):
        days, horizon = CELLS[number % len(CELLS)]
        model = MODELS[number // len(CELLS) % len(MODELS)]
        found[days, horizon].add(noise(np.random.default_rng((seed, number)), days, horizon, model))
    return found


def find(reports: int, seed: int) -> Count:
    """Return the counts of reports on a weak signal over four years."""
    found = Count()
    for number in range(reports):
        found.add(knowing(np.random.default_rng((seed, number)), 4 * YEAR, WEAK_IC))
    return found


def together(counts: Iterable[Count]) -> Count:
    """Return the sum."""
    total = Count()
    for one in counts:
        total = Count(
            total.reports + one.reports,
            total.claims + one.claims,
            total.ic + one.ic,
            total.profit + one.profit,
            total.naive + one.naive,
            total.deviations + one.deviations,
        )
    return total


def _claims(chance: Chance | None) -> int:
    return int(bool(chance and chance.sign))


def _naive(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean() / (known.std(ddof=1) / np.sqrt(len(known))))


def main() -> int:
    """Read the flags, simulate, print the tables."""
    parser = argparse.ArgumentParser(
        prog="make calibrate-verdict", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--reports", type=int, default=200, help="of noise, over all kinds")
    parser.add_argument("--signals", type=int, default=50, help="reports of a weak signal")
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    counts = calibrate(flags.reports, flags.seed)
    noisy, signal = together(counts.values()), find(flags.signals, flags.seed)
    lines = [
        "| reports of | all | claims if days were independent | claims | of IC | of profit | IC's spread |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(
            count.row(f"noise, {days} days, {horizon}-day label")
            for (days, horizon), count in counts.items()
            if count.reports
        ),
        noisy.row("noise, together"),
        signal.row(f"an IC of {WEAK_IC}, {4 * YEAR:,} days, 1-day label"),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    is_kept = noisy.claims <= MOST_FALSE * noisy.reports and signal.ic >= FEWEST_FOUND * signal.reports
    sys.stdout.write("" if is_kept else "the verdict is beyond its limits\n")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())

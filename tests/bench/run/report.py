"""The figures side by side, as a table that docs/benchmarks.md can hold."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from tests.bench.run.phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.run.measure import Figures


def table(rounds: Mapping[str, Sequence[Figures]]) -> str:
    """Write a line for each phase, the median of the rounds, and how many times as fast each way is.

    Processor seconds are in parentheses.
    """
    names = list(rounds)
    lines = [["seconds", *names], ["---", *("---:" for _ in names)]]
    lines += [[phase, *(_phase(rounds[name], phase) for name in names)] for phase in PHASES]
    totals = {name: median(one.total for one in figures) for name, figures in rounds.items()}
    lines += [["**all**", *(f"**{totals[name]:.1f}**" for name in names)]]
    worked = {name: median(sum(one.processor.values()) for one in rounds[name]) for name in names}
    lines += [["processor seconds", *(f"{worked[name]:.1f}" for name in names)]]
    lines += [["the rounds", *(" · ".join(f"{one.total:.1f}" for one in rounds[name]) for name in names)]]
    lines += [
        [f"times as fast as {base}", *(f"{totals[base] / totals[name]:.2f}" for name in names)]
        for base in names[:2]
    ]
    lines += [["IC", *(f"{float(rounds[name][0].metrics()['IC']):.5f}" for name in names)]]
    for part, said in (("all", "peak memory, children included"), ("own", "of it, not in files as well")):
        peaks = [max(getattr(one.peak, part) for one in rounds[name]) for name in names]
        lines += [[said, *(f"{peak / 2**20:,.0f} MiB" for peak in peaks)]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def scaling(by_size: Mapping[str, Mapping[str, Sequence[Figures]]]) -> str:
    """Write a line for each size: the seconds of each way, and its memory."""
    names = list(next(iter(by_size.values())))
    lines = [["", *names], ["---", *("---:" for _ in names)]]
    for size, rounds in by_size.items():
        lines.append([size, *(_cell(rounds[name]) for name in names)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(figures: Sequence[Figures]) -> str:
    seconds, peak = median(one.total for one in figures), max(one.peak.all for one in figures)
    return f"{seconds:.1f} s, {peak / 2**20:,.0f} MiB"


def _phase(figures: Sequence[Figures], phase: str) -> str:
    seconds = median(one.phases[phase] for one in figures)
    return f"{seconds:.1f} ({median(one.processor[phase] for one in figures):.1f})"

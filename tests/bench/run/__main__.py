"""Run plain qrun, qrun with the right number of threads, and ours on the same data, and compare.

    make bench-run ARGS='--symbols 100 --days 1500 --rounds 3'
    make bench-run ARGS='--scaling 100 500 1500 --ways threads cold cached'

Each run is one process; the ways take turns, so that a busy minute hits all of them. What they leave is
compared bit by bit, and the exit code is 1 when anything differs.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.operator_cost.results_table import machine
from tests.bench.run import report
from tests.bench.run.measure import ARTIFACTS, Figures, measure
from tests.bench.run.workflow import PUBLISHED_HELD, PUBLISHED_THREADS, Size, Way
from tests.unit.runner.plugins.backtest.differences import differences

from qlib_shadow_runner.dataset.synthetic import Market, write_market
from qlib_shadow_runner.process.limits import read_limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

START: Final = date(2008, 1, 2)
NAMES: Final = ("published", "threads", "cold", "cached")
COARSE: Final = "coarse"
"""Another model, only on request: its figures are printed, but not compared with the others."""
MANY_THREADS: Final = "published"
LOSS: Final = "l2."
DIGITS: Final = 12
"""So many of LightGBM's own loss are the same whatever the order in which threads add it up."""


def main(given: Sequence[str] | None = None) -> int:
    """Measure what was asked for; give 1 where two ways did not leave the same."""
    options = arguments(given)
    place = Path(tempfile.mkdtemp(prefix="bench-run-", dir=options.place))
    try:
        print(f"{machine()}; {options.days} days, {options.boosting} rounds of boosting\n")  # noqa: T201
        wrong = scale(options, place) if options.scaling or options.cores else once(options, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print("\n".join(wrong) if wrong else "\nwhat they left is the same, bit for bit")  # noqa: T201
    return 1 if wrong else 0


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="bench-run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--symbols", type=symbols, default=100, help="so many, 8 at least (default 100)")
    parser.add_argument("--days", type=days, default=1500, help="so many, 200 at least (default 1500)")
    parser.add_argument("--rounds", type=positive, default=3, help="so many runs of each way (default 3)")
    parser.add_argument("--boosting", type=positive, default=130, help="rounds of boosting (default 130)")
    parser.add_argument("--ways", nargs="+", choices=[*NAMES, COARSE], default=list(NAMES))
    parser.add_argument("--scaling", type=symbols, nargs="+", help="numbers of symbols, one after another")
    parser.add_argument("--cores", type=positive, nargs="+", help="numbers of threads, one after another")
    parser.add_argument(
        "--place", type=Path, help="a folder for data and results (default: the temporary one)"
    )
    return parser.parse_args(given)


def at_least(least: int, text: str) -> int:
    """Read a number that is large enough to mean something."""
    number = int(text)
    if number < least:
        raise ValueError(text)
    return number


def symbols(text: str) -> int:
    """Read a number of symbols: of fewer there is no portfolio."""
    return at_least(8, text)


def days(text: str) -> int:
    """Read a number of days: of fewer there is nothing to train on."""
    return at_least(200, text)


def positive(text: str) -> int:
    """Read a number of anything else."""
    return at_least(1, text)


def ways(names: Sequence[str], threads: int) -> list[Way]:
    """Give what takes part, in this order."""
    known = {
        "published": Way("published", PUBLISHED_THREADS, kernels=None),
        "threads": Way("threads", threads),
        "cold": Way("cold", threads, ours=True, keeps=True),
        "cached": Way("cached", threads, ours=True, keeps=True),
        COARSE: Way(COARSE, threads, ours=True, keeps=True, bins=63),
    }
    return [way for name, way in known.items() if name in names]


def once(options: argparse.Namespace, place: Path) -> list[str]:
    """Compare at one size, phase by phase."""
    taking_part = ways(options.ways, read_limits().threads)
    rounds, wrong = compare(taking_part, size_of(options, options.symbols), options.rounds, place)
    print(report.table(rounds))  # noqa: T201
    return wrong


def scale(options: argparse.Namespace, place: Path) -> list[str]:
    """Compare at several sizes, or with several numbers of threads."""
    found, wrong = {}, []
    for number in options.scaling or [options.symbols]:
        for threads in options.cores or [read_limits().threads]:
            name = f"{number} symbols, {threads} threads"
            size, taking_part = size_of(options, number), ways(options.ways, threads)
            found[name], differing = compare(
                taking_part, size, options.rounds, place / name.replace(" ", "-")
            )
            wrong += differing
    print(report.scaling(found))  # noqa: T201
    return wrong


def size_of(options: argparse.Namespace, number: int) -> Size:
    """Say how much there is to do for so many symbols."""
    return Size(number, options.days, START, options.boosting, topk=max(2, min(PUBLISHED_HELD, number // 3)))


def compare(
    taking_part: Sequence[Way], size: Size, rounds: int, place: Path
) -> tuple[Mapping[str, Sequence[Figures]], list[str]]:
    """Make the data, let the ways take turns, and say where they differ."""
    dataset = place / "dataset"
    for folder in ("calendars", "instruments", "features"):
        (dataset / folder).mkdir(parents=True)
    write_market(dataset, Market(7, size.symbols, size.start, size.days), size.days)
    found: dict[str, list[Figures]] = {way.name: [] for way in taking_part}
    for number in range(rounds):
        cache = place / f"cache-{number}"
        if not any(way.name == "cold" for way in taking_part):
            fill(taking_part, size, dataset, place / f"fill-{number}", cache)
        for way in taking_part:
            figures = measure(way, size, dataset, place / f"{way.name}-{number}", cache)
            sys.stderr.write(f"{way.name}, round {number + 1}: {figures.total:.1f} s\n")
            found[way.name].append(figures)
        shutil.rmtree(cache, ignore_errors=True)
    return found, list(unlike(found))


def fill(taking_part: Sequence[Way], size: Size, dataset: Path, folder: Path, cache: Path) -> None:
    """Fill the cache for the ways that read it."""
    for way in taking_part:
        if way.keeps:
            measure(replace(way, name="fill"), size, dataset, folder, cache)


def unlike(found: Mapping[str, Sequence[Figures]]) -> Iterator[str]:
    """Say what is not the same in what the ways left in their first rounds."""
    alike = [(name, figures[0]) for name, figures in found.items() if name != COARSE]
    for name, figures in alike[1:]:
        first, firsts = alike[0]
        one, other = (logged(each, rounded=MANY_THREADS in (first, name)) for each in (firsts, figures))
        for difference in differences(one, other):
            yield f"{first} and {name} differ in the metrics{difference}"
        for artifact in ARTIFACTS:
            for difference in differences(firsts.left(artifact), figures.left(artifact)):
                yield f"{first} and {name} differ in {artifact}{difference}"


def logged(figures: Figures, *, rounded: bool) -> dict[str, str]:
    """Give what was logged, the loss without its last digits if need be."""
    return {
        name: f"{float(value):.{DIGITS}g}" if rounded and name.startswith(LOSS) else value
        for name, value in figures.metrics().items()
    }


if __name__ == "__main__":
    raise SystemExit(main())

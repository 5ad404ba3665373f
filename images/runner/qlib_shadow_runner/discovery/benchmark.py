"""The benchmark that the portfolio is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.workflow import AUTO
from qlib_shadow_runner.dataset.qlib_layout import ALL, Dataset
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import nearest

if TYPE_CHECKING:
    from datetime import date

PREFERRED: Final = ("^GSPC", "SPY", "^SPX", "^NDX", "QQQ", "^DJI", "SH000300", "SH000905")


@dataclass(frozen=True)
class Benchmark:
    """A symbol as the dataset spells it, or the average of several, and why it was chosen."""

    symbol: str
    chosen_by: str
    members: tuple[str, ...] = ()
    """The symbols whose equal-weighted average it is, if it is not one symbol."""

    @property
    def value_for_qlib(self) -> str | list[str]:
        """Return the benchmark as Qlib's backtest takes it."""
        return list(self.members) or self.symbol


def find_benchmark(dataset: Dataset, wanted: str, market: str) -> Benchmark:
    """Return an instrument that has prices as the benchmark; upper and lower case are equal."""
    if wanted != AUTO:
        symbol = _usable(dataset, wanted)
        return Benchmark(symbol, "spec") if symbol else _refuse(dataset, wanted)
    for name in PREFERRED:
        symbol = _usable(dataset, name)
        if symbol:
            return Benchmark(symbol, "auto: preferred")
    return _longest_index(dataset) or _average(dataset, market)


def _longest_index(dataset: Dataset) -> Benchmark | None:
    days = {
        symbol: span.count
        for symbol in dataset.symbols.values()
        if symbol.startswith("^") and (span := dataset.bin_span(symbol))
    }
    if not days:
        return None
    symbol = min(days, key=lambda name: (-days[name], name))
    several = f"of the indices {', '.join(sorted(days))} the one with the most days"
    return Benchmark(symbol, f"auto: {several if len(days) > 1 else 'the only index'}")


def _average(dataset: Dataset, market: str) -> Benchmark:
    """Return the average of all instruments, to which a strategy without skill is equal."""
    listed = sorted({span.symbol for span in dataset.universes[market]})
    members = tuple(symbol for symbol in listed if dataset.bin_span(symbol))
    if not members:
        raise StageError(
            Reason.BENCHMARK_NOT_FOUND,
            f"no benchmark can be chosen in {dataset.folder.name}: it has no index, and of the {len(listed)} "
            f"instruments of {market} none has prices. Set spec.workflow.benchmark to a symbol that has.",
        )
    why = f"auto: there is no index, so the equal-weighted average of {market}"
    return Benchmark(f"average of {market}", why, members)


def check_coverage(dataset: Dataset, benchmark: Benchmark, first: date, last: date) -> None:
    """Refuse a benchmark without prices for the whole backtest: Qlib would fail late and without a cause."""
    if benchmark.members:
        return
    span = dataset.bin_span(benchmark.symbol)
    assert span is not None, "it was chosen for having prices"
    have = dataset.calendar[span.start : span.end]
    if not have or have[0] > first or have[-1] < last:
        reach = f"from {have[0]} to {have[-1]}" if have else "for no day"
        raise StageError(
            Reason.BENCHMARK_NOT_FOUND,
            f'benchmark "{benchmark.symbol}" has prices {reach}, but the backtest runs '
            f"from {first} to {last}. Set spec.workflow.benchmark to one that covers it.",
        )


def _usable(dataset: Dataset, wanted: str) -> str | None:
    symbol = dataset.symbols.get(wanted.lower())
    return symbol if symbol and dataset.bin_span(symbol) else None


def _refuse(dataset: Dataset, wanted: str) -> NoReturn:
    names = list(dataset.symbols.values())
    if wanted.lower() in dataset.symbols:
        what = f"is listed, but has no features/{wanted.lower()}/close.day.bin"
    else:
        close = nearest(wanted, names)
        hint = f"; close: {close}" if close else ""
        what = f"is not in instruments/{_listing(dataset)}.txt ({len(names)} names{hint})"
    raise StageError(
        Reason.BENCHMARK_NOT_FOUND,
        f'benchmark "{wanted}" {what}. Set spec.workflow.benchmark, or leave it to auto.',
    )


def _listing(dataset: Dataset) -> str:
    return ALL if ALL in dataset.universes else "*"

"""What the portfolio is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.layout import ALL, Dataset
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import AUTO
from qlib_shadow_runner.suggest import nearest

if TYPE_CHECKING:
    from datetime import date

PREFERRED: Final = ("^GSPC", "SPY", "^SPX", "^NDX", "QQQ", "^DJI", "SH000300", "SH000905")


@dataclass(frozen=True)
class Benchmark:
    """A symbol as the dataset spells it, and why it was taken."""

    symbol: str
    chosen_by: str


def find_benchmark(dataset: Dataset, wanted: str) -> Benchmark:
    """Find the benchmark among the instruments, whatever its case, with prices behind it."""
    if wanted != AUTO:
        symbol = _usable(dataset, wanted)
        return Benchmark(symbol, "spec") if symbol else _refuse(dataset, wanted)
    for name in PREFERRED:
        symbol = _usable(dataset, name)
        if symbol:
            return Benchmark(symbol, "auto: preferred")
    indices = [
        symbol for symbol in dataset.symbols.values() if symbol.startswith("^") and _usable(dataset, symbol)
    ]
    if len(indices) == 1:
        return Benchmark(indices[0], "auto: the only index")
    shown = ", ".join(sorted(indices)) or "none"
    raise StageError(
        Reason.BENCHMARK_NOT_FOUND,
        f"no benchmark can be chosen in {dataset.folder.name}: of {', '.join(PREFERRED)} none has prices, "
        f"and its indices (names with ^) are: {shown}. Set spec.workflow.benchmark to a symbol of "
        f"instruments/{_listing(dataset)}.txt.",
    )


def check_coverage(dataset: Dataset, benchmark: Benchmark, first: date, last: date) -> None:
    """Refuse a benchmark whose prices do not reach over the backtest: Qlib would fail late and darkly."""
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

"""The market: the universe of instruments that a run researches, without the benchmark."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.workflow import AUTO
from qlib_shadow_runner.dataset.qlib_layout import ALL, Dataset
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import and_then, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qlib_shadow_runner.dataset.qlib_layout import ListedSpan

PREFERRED: Final = ("sp500", "csi300", "nasdaq100", "csi500", "djia", "russell1000")
"""The universes that `auto` prefers, best known first."""


@dataclass(frozen=True)
class Market:
    """A universe, its tradable symbols, and why it was chosen."""

    name: str
    symbols: tuple[str, ...]
    excluded: str | None
    """The benchmark, if the universe's file lists it."""
    chosen_by: str

    @property
    def instruments(self) -> str | Mapping[str, object]:
        """Return the universe as Qlib takes it: its name, or a filter that leaves the benchmark out."""
        if self.excluded is None:
            return self.name
        rule = f"(?!{re.escape(self.excluded)}$)"
        only = {
            "filter_type": "NameDFilter",
            "name_rule_re": rule,
            "filter_start_time": None,
            "filter_end_time": None,
        }
        return {"market": self.name, "filter_pipe": [only]}


def find_market(dataset: Dataset, wanted: str) -> tuple[str, str]:
    """Return the universe's name and how it was chosen."""
    known = {name: _size(spans) for name, spans in dataset.universes.items() if spans}
    if wanted != AUTO:
        if wanted not in known:
            missing = (
                f'market "{wanted}" has no instruments/{wanted}.txt in {dataset.folder.name}; '
                f"{did_you_mean(wanted, known)}"
            )
            raise StageError(
                Reason.MARKET_NOT_FOUND,
                and_then(missing, "set spec.workflow.market, or leave it to auto."),
            )
        return wanted, "spec"
    for name in PREFERRED:
        if name in known:
            return name, "auto: preferred"
    named = sorted(name for name in known if name != ALL)
    if named:
        return max(named, key=lambda name: known[name]), "auto: largest universe"
    return ALL, "auto: the only universe"


def _size(spans: Sequence[ListedSpan]) -> tuple[int, int]:
    """Return the number of symbols and of days: a symbol that left and came back is listed twice."""
    return len({span.symbol for span in spans}), sum((span.last - span.first).days + 1 for span in spans)


def describe_market(dataset: Dataset, name: str, chosen_by: str, benchmark: str) -> Market:
    """Return the universe with the symbols that may be held."""
    listed = sorted({span.symbol for span in dataset.universes[name]})
    held = tuple(symbol for symbol in listed if symbol.lower() != benchmark.lower())
    if not held:
        raise StageError(
            Reason.MARKET_NOT_FOUND,
            f'market "{name}" lists nothing but the benchmark {benchmark}. '
            "Choose another spec.workflow.market.",
        )
    excluded = next((symbol for symbol in listed if symbol.lower() == benchmark.lower()), None)
    return Market(name, held, excluded, chosen_by)

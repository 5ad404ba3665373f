"""What an entry is held to: the data of its night or of now, its run's signals, and the kill switches."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from qlib_shadow_runner.ledger.halts import halt_of
from qlib_shadow_runner.ledger.quotes import Quotes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from qlib_shadow_runner.dataset.qlib_layout import Dataset
    from qlib_shadow_runner.ledger.entry import Entry
    from qlib_shadow_runner.ledger.halts import Halt
    from qlib_shadow_runner.ledger.sources import Signals, Sources
    from qlib_shadow_runner.ledger.sums import Difference as Sum


class Difference(NamedTuple):
    """A field of an entry that differs from what follows from the rest."""

    field: str
    recorded: Any
    expected: Any
    of_data: bool = False
    """Whether the data may have been another one on the night, and explains it."""


def told(differences: Iterable[Sum], *, of_data: bool = False) -> Iterable[Difference]:
    """Return plain differences with what explains them."""
    return (Difference(*one, of_data) for one in differences)


@dataclass(frozen=True)
class Known:
    """What is known of one entry besides the book."""

    exact: Quotes | None
    """The prices of the very data that its run had, where they are still there."""
    other: Quotes | None
    """The prices that were given instead."""
    signals: Signals | None
    halts: Sequence[Halt]
    """Those that were lifted, and the one that is on."""

    @property
    def quotes(self) -> Quotes | None:
        """Return the best prices that there are."""
        return self.exact or self.other


@dataclass(frozen=True)
class Evidence:
    """What is known of all entries; prices are read once for each dataset."""

    sources: Sources
    other: Quotes | None
    halts: Sequence[Halt]
    _quotes: dict[Path, Quotes] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, dataset: Dataset | None, sources: Sources, lifted: Sequence[Halt]) -> Self:
        """Return what is known of the book in a folder."""
        halts = (*lifted, *filter(None, [halt_of(folder)]))
        return cls(sources, None if dataset is None else Quotes.of(dataset), halts)

    def known(self, entry: Entry) -> Known:
        """Return what is known of an entry."""
        run = entry.document["run"]
        dataset = self.sources.dataset(run)
        exact = None if dataset is None else self._quotes.setdefault(dataset.folder, Quotes.of(dataset))
        signals = self.sources.signals(run, entry.day) if "scores" in entry.document else None
        return Known(exact, self.other, signals, self.halts)


def is_rescaled(document: dict[str, Any], quotes: Quotes) -> bool:
    """Return whether the dataset has other prices by now for what an entry holds or orders."""
    priced = [*document["account"]["positions"], *document.get("orders", ()), *document.get("carried", ())]
    return any(
        quotes.get("close", one["instrument"], quotes.index(day)) != one["price"]
        for one in priced
        if one["priced"] and quotes.has(day := date.fromisoformat(one["priced"]))
    )


def worth(document: dict[str, Any]) -> float:
    """Return the size of the account, in which money is compared."""
    return abs(float(document["account"]["nav"]))

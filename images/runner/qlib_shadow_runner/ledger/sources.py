"""What a check asks of a volume besides the book: the data and the signals of the runs that wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from typing import Any

    from qlib_shadow_runner.dataset.qlib_layout import Dataset


class Signals(NamedTuple):
    """The signals of a day, best first, and the expected returns where they are known."""

    scores: Mapping[str, float]
    expected: Mapping[str, float]


class Sources(Protocol):
    """Finds what the runs of a book had."""

    def dataset(self, run: Mapping[str, Any]) -> Dataset | None:
        """Return the dataset that a run names, where its content still is what the run had."""
        ...

    def signals(self, run: Mapping[str, Any], day: date) -> Signals | None:
        """Return a run's signals of a day, where its file still is the one of which it has the hash."""
        ...


@dataclass(frozen=True)
class NoSources:
    """Nothing of the runs is there any more."""

    def dataset(self, run: Mapping[str, Any]) -> Dataset | None:
        """Return None."""

    def signals(self, run: Mapping[str, Any], day: date) -> Signals | None:
        """Return None."""

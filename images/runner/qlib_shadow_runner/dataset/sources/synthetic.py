"""The source `synthetic`: made-up prices, the same bytes from the same parameters on every machine.

This module is cheap to import; the market model, which needs numpy, is loaded only for a build.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.sources import SyntheticSpec
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

MODEL_VERSION: Final = 1
"""Part of the identity: raise it when the market model changes its bytes."""
DAYS_A_YEAR: Final = 252


@dataclass(frozen=True)
class Synthetic(SyntheticSpec):
    """The size and the seed of a made-up market."""

    builds: bool = True
    synthetic: bool = True
    pinned: bool = True
    claims: Mapping[str, str] = field(default_factory=dict)

    @property
    def trading_days(self) -> int:
        """Return the number of trading days, from `days` or `years`."""
        return self.days if self.years is None else DAYS_A_YEAR * self.years

    @property
    def identity(self) -> str:
        """Return every parameter that changes a byte."""
        return self.feed if self.until is None else f"{self.feed} until={self.until}"

    @property
    def feed(self) -> str:
        """Return the parameters of the market, without how much of it is delivered."""
        return (
            f"synthetic model={MODEL_VERSION} seed={self.seed} symbols={self.symbols} "
            f"start={self.start} days={self.trading_days}"
        )

    @property
    def inputs(self) -> str:
        """Return the identity, because no file is read."""
        return self.identity

    def at(self, volume: Volume) -> Self:  # noqa: ARG002 - nothing of it lies on the volume
        """Return the source unchanged."""
        return self

    def build(self, folder: Path) -> None:
        """Write the whole dataset."""
        from qlib_shadow_runner.dataset.synthetic import Market, write_market  # noqa: PLC0415 - numpy

        market = Market(self.seed, self.symbols, self.start, self.trading_days)
        write_market(folder, market, self._days_delivered(market.calendar))

    def _days_delivered(self, calendar: Sequence[date]) -> int:
        """Return how many days of the market are delivered, or refuse an `until` that is not in it."""
        if self.until is None:
            return len(calendar)
        if not calendar[0] <= self.until <= calendar[-1]:
            raise StageError(
                Reason.INVALID_SPEC,
                f"spec.dataset.source.synthetic.until is {self.until}, and this market runs from "
                f"{calendar[0]} to {calendar[-1]}. Choose a day in it, or more days or years.",
            )
        return bisect_right(calendar, self.until)

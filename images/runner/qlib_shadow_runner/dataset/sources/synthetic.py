"""The source `synthetic`: made-up prices, the same bytes from the same parameters on every machine.

This module is cheap to import; the market model, which needs numpy, is loaded only for a build.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.contract.spec.sources import SyntheticSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
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
        return (
            f"synthetic model={MODEL_VERSION} seed={self.seed} symbols={self.symbols} "
            f"start={self.start} days={self.trading_days}"
        )

    @property
    def feed(self) -> str:
        """Return the parameters without the number of days, which only says where the market ends."""
        return f"synthetic model={MODEL_VERSION} seed={self.seed} symbols={self.symbols} start={self.start}"

    @property
    def inputs(self) -> str:
        """Return the identity, because no file is read."""
        return self.identity

    def at(self, volume: Volume) -> Self:  # noqa: ARG002 - nothing of it lies on the volume
        """Return the source unchanged."""
        return self

    def build(self, folder: Path) -> None:
        """Write the whole dataset."""
        from qlib_shadow_runner.dataset.synthetic import write_market  # noqa: PLC0415 - numpy only when building

        write_market(folder, seed=self.seed, symbols=self.symbols, start=self.start, days=self.trading_days)

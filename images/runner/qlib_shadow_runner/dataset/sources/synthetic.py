"""The demo's source: made-up prices, the same bytes from the same parameters on every machine.

This module is cheap to import; the market model, which needs numpy, is loaded only to build.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.fields import check_keys, integer, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

MODEL_VERSION: Final = 1
"""Part of the identity: raise it when the market model changes its bytes."""
DAYS_A_YEAR: Final = 252
EARLIEST: Final = date(1990, 1, 1)
LATEST: Final = date(2100, 1, 1)


@dataclass(frozen=True)
class Synthetic:
    """How many symbols over how many days, from which seed."""

    seed: int = 7
    symbols: int = 60
    start: date = date(2019, 1, 2)
    days: int = 1512
    builds: bool = True
    synthetic: bool = True
    pinned: bool = True
    claims: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Name every parameter that changes a byte."""
        return (
            f"synthetic model={MODEL_VERSION} seed={self.seed} symbols={self.symbols} "
            f"start={self.start} days={self.days}"
        )

    @classmethod
    def parse(cls, raw: Mapping[str, object]) -> Self:
        """Read the parameters; `years` is another way to say `days`."""
        where = "spec.dataset.source.synthetic"
        check_keys(raw, {"seed", "symbols", "start", "days", "years"}, where)
        if "days" in raw and "years" in raw:
            refuse(f"{where} has both days and years; give one")
        days = integer(raw.get("days", cls.days), 250, 10_000, f"{where}.days")
        if "years" in raw:
            days = DAYS_A_YEAR * integer(raw["years"], 1, 39, f"{where}.years")
        return cls(
            seed=integer(raw.get("seed", cls.seed), 0, 2**32 - 1, f"{where}.seed"),
            symbols=integer(raw.get("symbols", cls.symbols), 10, 999, f"{where}.symbols"),
            start=_start(raw.get("start", cls.start.isoformat()), f"{where}.start"),
            days=days,
        )

    @property
    def inputs(self) -> str:
        """Say the same: there is nothing else to look at."""
        return self.identity

    def at(self, volume: Volume) -> Self:  # noqa: ARG002 - nothing of it lies on the volume
        """Stay the same on every machine."""
        return self

    def build(self, folder: Path) -> None:
        """Write the whole dataset."""
        from qlib_shadow_runner.dataset.synthetic import write_market  # noqa: PLC0415 - numpy only when building

        write_market(folder, seed=self.seed, symbols=self.symbols, start=self.start, days=self.days)


def _start(value: object, where: str) -> date:
    try:
        start = date.fromisoformat(str(value))
    except ValueError:
        refuse(f'{where} "{value}" is not a date; write it as 2019-01-02')
    if not EARLIEST <= start < LATEST:
        refuse(f"{where} is {start}; it must lie from {EARLIEST} to {LATEST}")
    return start

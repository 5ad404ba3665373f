"""Prices of a few days, written out, and rules without costs to trade them by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tests.unit.runner.conftest import weekdays, write_bin

from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.ledger.account import Account, Holding, Order
from qlib_shadow_runner.ledger.quotes import Quotes
from qlib_shadow_runner.ledger.rules import Costs, Rules, Targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Fields = Mapping[str, Sequence[float]]

DAYS: Final = weekdays(120)
NAN: Final = float("nan")
FREE: Final = Costs(open_cost=0.0, close_cost=0.0, min_cost=0.0)
RULES: Final = Rules(targets=Targets(topk=2, n_drop=1), costs=FREE)


def quotes_of(folder: Path, **fields: Fields) -> Quotes:
    """Return written prices: values of each instrument by field, from the first day on.

    Without factors of their own, all are 1; `factor={}` writes none.
    """
    fields.setdefault("factor", {name: [1.0] * len(values) for name, values in fields["close"].items()})
    (folder / "calendars").mkdir(parents=True)
    (folder / "calendars" / "day.txt").write_text("".join(f"{day}\n" for day in DAYS))
    for field, series in fields.items():
        for name, values in series.items():
            write_bin(folder / "features" / name.lower() / f"{field}.day.bin", values)
    return Quotes.of(Dataset(folder))


def rules(
    *, targets: Mapping[str, Any] | None = None, costs: Mapping[str, Any] | None = None, **more: Any
) -> Rules:
    """Return the rules without costs, with some changed."""
    return replace(
        RULES,
        targets=replace(RULES.targets, **(targets or {})),
        costs=replace(RULES.costs, **(costs or {})),
        **more,
    )


def held(amount: float, price: float, day: int = 0, factor: float = 1.0, days: int = 1) -> Holding:
    """Return a holding as of one of the days."""
    return Holding(amount, price, factor, DAYS[day].isoformat(), days)


def account(cash: float = 0.0, **holdings: Holding) -> Account:
    """Return an account."""
    return Account(cash, holdings)


def order(name: str, side: str, amount: float, price: float, day: int = 0) -> Order:
    """Return an order that was decided on one of the days."""
    return Order(name, side, amount, amount, price, priced=DAYS[day].isoformat(), id=f"{name}-{side}")

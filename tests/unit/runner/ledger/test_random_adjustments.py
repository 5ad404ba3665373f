"""A dataset that is adjusted again each night leads to the same account as one that never is."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runner.ledger.written_prices import DAYS, NAN, account, quotes_of, rules
from tests.unit.runner.plugins.random_examples import rounds

from qlib_shadow_runner.ledger.plan import make_plan
from qlib_shadow_runner.ledger.settle import settle_day

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qlib_shadow_runner.ledger.account import Account, Order
    from qlib_shadow_runner.ledger.rules import Rules

NAMES = ("AAA", "BBB", "CCC", "DDD")
NIGHTS = 12
BY = st.builds(
    lambda weights, unfilled, delisted, unit: rules(
        targets={"weights": weights},
        costs={"trade_unit": unit, "open_cost": 0.001, "min_cost": 5.0, "impact_cost": 0.1},
        unfilled=unfilled,
        delisted=delisted,
    ),
    st.sampled_from([None, "equal"]),
    st.sampled_from(["Carry", "Drop"]),
    st.sampled_from(["Hold", "Zero"]),
    st.sampled_from([1, 100, None]),
)


@given(st.integers(0, 999), BY)
@rounds("QLIB_SHADOW_CHAOS_LEDGER_MARKETS", 5)
def test_random_adjustments_change_no_account(seed: int, by: Rules) -> None:
    """Money, raw shares and ids are the same to the last bit, since the adjustments are powers of two."""
    drawn = random.Random(seed)
    exponents = [[drawn.randint(-4, 4) for _ in NAMES] for _ in range(NIGHTS)]
    assert nights(seed, by, lambda night: exponents[night]) == nights(seed, by, lambda _: [0] * len(NAMES))


def nights(seed: int, by: Rules, adjusted: Callable[[int], Sequence[int]]) -> list[Any]:
    """Return what each night records in units that no adjustment changes."""
    drawn = random.Random(seed)
    closes: dict[str, list[float]] = {}
    for name in NAMES:
        walk = [drawn.uniform(5, 50)]
        walk += [walk[0] * drawn.uniform(0.8, 1.25) for _ in range(NIGHTS)]
        closes[name] = [
            NAN if number and drawn.random() < 0.25 else price for number, price in enumerate(walk)
        ]
    splits = {name: [drawn.choice([0.5, 1.0, 3.0]) for _ in range(NIGHTS + 1)] for name in NAMES}
    scores = [{name: drawn.gauss(0, 1) for name in NAMES} for _ in range(NIGHTS + 1)]
    state, found = account(20_000), list[Any]()
    orders: tuple[Order, ...] = ()
    for night in range(NIGHTS):
        times = {name: 2.0**power for name, power in zip(NAMES, adjusted(night), strict=True)}
        with tempfile.TemporaryDirectory() as folder:
            quotes = quotes_of(
                Path(folder) / "data",
                close={name: [price * times[name] for price in closes[name]] for name in NAMES},
                factor={name: [one * times[name] for one in splits[name]] for name in NAMES},
                volume={name: [1000 / times[name]] * (NIGHTS + 1) for name in NAMES},
            )
            if night:
                before, day = DAYS[night - 1], DAYS[night]
                settled = settle_day(state, orders, by, quotes, before=before, day=day)
                state = settled.account
                fills = [(one.order, one.shares, one.value, one.cost, one.why) for one in settled.fills]
                found.append((fills, settled.costs, settled.shortfall, shares_of(state)))
                orders = settled.carried
            if drawn.random() < 0.8:  # otherwise the night is missed
                plan = make_plan(state, scores[night], {}, by, quotes, day=DAYS[night], book="us")
                orders = plan.orders
                found.append(([(one.id, one.shares) for one in orders], plan.figures, plan.targets))
    return found


def shares_of(state: Account) -> Any:
    """Return cash, value and raw shares."""
    return state.cash, state.value, {name: one.shares for name, one in state.holdings.items()}

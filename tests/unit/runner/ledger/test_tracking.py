"""The difference between paper account and backtest: each part alone, and all of them together."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.runner.ledger.written_prices import DAYS, FREE, RULES, account, held, quotes_of, rules

from qlib_shadow_runner.ledger.halts import Halt
from qlib_shadow_runner.ledger.plan import make_plan
from qlib_shadow_runner.ledger.reconcile import stopped_by
from qlib_shadow_runner.ledger.settle import settle_day
from qlib_shadow_runner.ledger.tracking import PARTS, Backtest, Tracking, track

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.ledger.account import Account, Fill, Order
    from qlib_shadow_runner.ledger.quotes import Quotes
    from qlib_shadow_runner.ledger.rules import Rules

LENGTH = 25
NAMES = ("AAA", "BBB", "CCC", "DDD", "EEE")
LAST = LENGTH - 1


@dataclass(frozen=True)
class Written:
    """An entry of a chain."""

    document: dict[str, Any]


def market(folder: Path, adjusted: float = 1.0, **changed: Mapping[int, float]) -> Quotes:
    """Return random prices, with the closes of some days changed, or all adjusted by a factor."""
    drawn = random.Random(7)
    closes: dict[str, list[float]] = {}
    opens: dict[str, list[float]] = {}
    for name in NAMES:
        price, closes[name] = drawn.uniform(20, 60), []
        for _ in range(LENGTH):
            price *= 1 + drawn.gauss(0, 0.03)
            closes[name].append(price)
        opens[name] = [price * (1 + drawn.gauss(0, 0.01)) for price in closes[name]]
        for day, value in changed.get(name, {}).items():
            closes[name][day] = value
    whole = {"close": closes, "open": opens, "factor": {name: [1.0] * LENGTH for name in NAMES}}
    return quotes_of(
        folder,
        **{
            field: {name: [value * adjusted for value in values] for name, values in series.items()}
            for field, series in whole.items()
        },
    )


def signals(seed: int = 1) -> dict[Any, dict[str, float]]:
    """Return random scores of each day."""
    drawn = random.Random(seed)
    return {day: {name: drawn.gauss(0, 1) for name in NAMES} for day in DAYS[:LENGTH]}


def kept(
    quotes: Quotes,
    scores: Mapping[Any, Mapping[str, float]],
    by: Rules = RULES,
    *,
    start: Account | None = None,
    undecided: Mapping[int, str] | None = None,
    later: tuple[int, Rules] | None = None,
) -> list[Written]:
    """Return the entries of a book that decides each day but those that are missed, held or late."""
    state, entries, undecided = start or account(100_000), [], undecided or {}
    orders: tuple[Order, ...] = ()
    stopped: tuple[Fill, ...] = ()
    for index, day in enumerate(DAYS[:LENGTH]):
        if index:
            done = settle_day(state, orders, by, quotes, before=DAYS[index - 1], day=day)
            state, orders = done.account, done.carried
            fills = [fill.document() for fill in (*stopped, *done.fills)]
            entries.append(Written(_document("fills", day, state, fills=fills)))
        new = later is not None and index == later[0]
        by = later[1] if later is not None and new else by
        fault = undecided.get(index)
        if fault == "missed":
            continue
        plan = make_plan(state, scores[day], {}, by, quotes, day=day, book="us")
        made = () if fault == "held" else plan.orders
        halt = Halt("HALTED", "a test", None) if fault == "stopped" else None
        stopped = stopped_by(halt, made)
        orders = () if fault in ("late", "stopped") else made
        entries.append(
            Written(
                _document(
                    "decision",
                    day,
                    state,
                    scores=scores[day],
                    expected={},
                    orders=[one.document() for one in made],
                    rules=by.document() if new else None,
                )
            )
        )
    return entries


def _document(kind: str, day: Any, state: Account, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "day": day.isoformat(), "account": state.document(), **more}


def backtest(
    quotes: Quotes,
    scores: Mapping[Any, Mapping[str, float]],
    by: Rules = RULES,
    start: Account | None = None,
    first: int = 0,
) -> Backtest:
    """Return tonight's backtest by the same rules, from one of the days on."""
    entries = [one.document for one in kept(quotes, scores, by, start=start)]
    navs = {one["day"]: one["account"]["nav"] for one in entries}
    days = DAYS[first:LENGTH]
    found = tuple(navs[day.isoformat()] for day in days)
    return Backtest(tuple(days), found, scores, by.costs, by.targets, by.fill_at)


def only(part: str | None, found: Tracking | None) -> None:
    """Hold the difference to one part, or to none, on every day."""
    assert found is not None
    for day in found.by_day:
        assert day["total"] == sum(day[name] for name in PARTS)
        assert day["total"] == pytest.approx(day["paper"] - day["backtest"], abs=1e-12)
        assert {name for name in PARTS if abs(day[name]) > 1e-9} <= {part}
    assert found.total == sum(found.parts.values())
    assert (abs(found.total) > 1e-5) is (part is not None)


def test_the_same_account_has_no_difference(tmp_path: Path) -> None:
    """Nor has it where the backtest began before the book, or after it."""
    quotes, scores = market(tmp_path), signals()
    only(None, track(kept(quotes, scores), RULES, quotes, backtest(quotes, scores)))
    only(None, track(kept(quotes, scores), RULES, quotes, backtest(quotes, scores, first=4)))
    only(None, track(kept(quotes, scores)[9:], RULES, quotes, backtest(quotes, scores)))


def test_restated_data(tmp_path: Path) -> None:
    """A close of a day on which the account traded was another one when it was recorded."""
    before, scores = market(tmp_path / "1"), signals()
    after = market(tmp_path / "2", AAA={12: 37.0}, BBB={12: 37.0}, CCC={12: 37.0})
    only("data", track(kept(before, scores), RULES, after, backtest(after, scores)))


@pytest.mark.parametrize("targets", [{}, {"weights": "inverseVol"}], ids=str)
def test_adjustment_is_no_difference(tmp_path: Path, targets: dict[str, Any]) -> None:
    """All splits since: other adjusted prices, and the same raw ones."""
    before, after, by = market(tmp_path / "1"), market(tmp_path / "2", 0.25), rules(targets=targets)
    found = track(kept(before, signals(), by), by, after, backtest(after, signals(), by))
    assert found is not None
    assert max(abs(part) for part in found.parts.values()) < 1e-9


@pytest.mark.parametrize("fault", ["missed", "held", "late", "stopped"])
def test_timing(tmp_path: Path, fault: str) -> None:
    """Days without orders, for whatever reason."""
    quotes, scores = market(tmp_path), signals()
    book = kept(quotes, scores, undecided={3: fault, 4: fault, 11: fault})
    only("timing", track(book, RULES, quotes, backtest(quotes, scores)))


def test_another_price_of_the_day_is_timing(tmp_path: Path) -> None:
    """The book fills at the open, the backtest at the close."""
    quotes, scores, at_open = market(tmp_path), signals(), rules(fill_at="open")
    only("timing", track(kept(quotes, scores, at_open), at_open, quotes, backtest(quotes, scores)))


def test_costs(tmp_path: Path) -> None:
    """Slippage costs the account what the backtest does not pay, so its part is a loss."""
    quotes, scores, dear = market(tmp_path), signals(), rules(costs={"slippage_bps": 20.0})
    found = track(kept(quotes, scores, dear), dear, quotes, backtest(quotes, scores))
    only("costs", found)
    assert found is not None
    assert found.total < 0


@pytest.mark.parametrize("targets", [{"topk": 3}, {"weights": "equal"}, {"risk_degree": 0.5}], ids=str)
def test_rules(tmp_path: Path, targets: dict[str, Any]) -> None:
    """More names, daily weights, less invested."""
    quotes, scores, other = market(tmp_path), signals(), rules(targets=targets)
    only("rules", track(kept(quotes, scores, other), other, quotes, backtest(quotes, scores)))


def test_signals(tmp_path: Path) -> None:
    """Tonight's model ranks past days in another way than the one that decided them."""
    quotes = market(tmp_path)
    only("signals", track(kept(quotes, signals(1)), RULES, quotes, backtest(quotes, signals(2))))


def test_start(tmp_path: Path) -> None:
    """The backtest held something already, when the book began with cash."""
    quotes, scores = market(tmp_path), signals()
    price = quotes.get("close", "EEE", 0)
    start = account(20_000, EEE=held(80_000 / price, price))
    only("start", track(kept(quotes, scores), RULES, quotes, backtest(quotes, scores, start=start)))


def test_rules_of_two_eras_are_each_its_own(tmp_path: Path) -> None:
    """The second era pays slippage: replayed with that, the data show no difference."""
    quotes, scores, dear = market(tmp_path), signals(), rules(costs={"slippage_bps": 50.0})
    found = track(kept(quotes, scores, later=(10, dear)), RULES, quotes, backtest(quotes, scores))
    only("costs", found)
    assert found is not None
    assert found.by_day[8]["costs"] == 0


def test_all_at_once_still_sums_up(tmp_path: Path) -> None:
    """Each part is there, and the band is wide enough for chance."""
    before = market(tmp_path / "1", CCC={20: 50.0})
    after = market(tmp_path / "2")
    by = rules(targets={"topk": 3}, costs={"min_cost": 9.0})
    book = kept(before, signals(1), by, undecided={2: "held"})
    tonight = backtest(after, signals(2), replace(RULES, costs=FREE), start=account(50_000, BBB=held(99, 30)))
    found = track(book, by, after, tonight)
    assert found is not None
    assert all(abs(found.parts[name]) > 1e-9 for name in PARTS)
    assert found.total == sum(found.parts.values())
    assert found.total == pytest.approx(found.by_day[-1]["paper"] - found.by_day[-1]["backtest"], abs=1e-12)
    assert found.band is not None
    assert found.band > 0


def test_without_common_days_there_is_nothing_to_compare(tmp_path: Path) -> None:
    """One day has no return; few days have no band."""
    quotes, scores = market(tmp_path), signals()
    entries = kept(quotes, scores)
    assert track(entries[:1], RULES, quotes, backtest(quotes, scores)) is None
    assert track([], RULES, quotes, backtest(quotes, scores)) is None
    short = track(entries[:9], RULES, quotes, backtest(quotes, scores))
    assert short is not None
    assert (short.band, len(short.by_day)) == (None, 4)

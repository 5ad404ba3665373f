"""The rules of a book from spec.ledger, over the strategy and the exchange of the run's backtest."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.ledger import CALENDARS, Calibrated
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.contradictions import contradictions
from qlib_shadow_runner.ledger.quotes import lacks_factors
from qlib_shadow_runner.ledger.rules import Costs, GateRules, Limits, Rules, Targets
from qlib_shadow_runner.ledger.sessions import deadline, require_exchange
from qlib_shadow_runner.runs import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from qlib_shadow_runner.contract.spec.ledger import LedgerSpec
    from qlib_shadow_runner.ledger.quotes import Quotes

SOME_DAY = date(2026, 1, 5)
"""A time zone is known on each day or on none."""


def rules_of(
    spec: LedgerSpec, metadata: Mapping[str, object], region: str, quotes: Quotes, universe: Iterable[str]
) -> Rules:
    """Return the rules of a run's book; what spec.ledger leaves out is as in the run's backtest."""
    if region not in CALENDARS:
        raise _refused(f'the workflow\'s region is "{region}", of which no exchange is known')
    return Rules(
        targets=_targets(spec, values.mapping(metadata.get("strategy"))),
        costs=_costs(spec, values.mapping(metadata.get("exchange")), metadata, quotes, universe),
        limits=Limits(**_same(spec.limits, Limits)),
        gates=GateRules(
            **{
                **_same(spec.gates, GateRules),
                "live_ic": spec.gates.live_ic is Calibrated.CALIBRATED,
                "drift": spec.gates.drift is Calibrated.CALIBRATED,
            }
        ),
        fill_at=str(spec.fill.at),
        unfilled=str(spec.fill.unfilled),
        delisted=str(spec.fill.delisted),
        slices=spec.fill.slices,
        decide_before=spec.decide_before,
        calendar=spec.calendar or CALENDARS[region],
        region=region,
    )


def _same(asked: object, rules: type[Limits | GateRules]) -> dict[str, Any]:
    """Return the fields that a part of the rules has by the names that the spec gives them, too."""
    return {one.name: getattr(asked, one.name) for one in fields(rules)}


def ledger_faults(spec: LedgerSpec, strategy: Mapping[str, Any] | None) -> list[StageError]:
    """Return what is wrong with a ledger's spec, over the strategy of its workflow where that is known.

    It needs neither data nor a book, so that it is asked before anything is fetched or trained.
    """
    checks: list[Callable[[], object]] = []
    if spec.calendar is not None:
        checks.append(partial(require_exchange, spec.calendar))
    if spec.decide_before is not None:
        checks.append(partial(deadline, spec.decide_before, SOME_DAY))
    if strategy is not None:
        checks.append(partial(_targets, spec, strategy))
    return [fault for check in checks if (fault := _refusal(check)) is not None]


def ledger_warnings(spec: LedgerSpec, strategy: Mapping[str, Any]) -> list[str]:
    """Return which limits of a ledger's spec its targets cannot keep; the spec has no fault."""
    return contradictions(_targets(spec, strategy), Limits(**_same(spec.limits, Limits)))


def _refusal(check: Callable[[], object]) -> StageError | None:
    try:
        check()
    except StageError as error:
        return error
    return None


def _targets(spec: LedgerSpec, strategy: Mapping[str, Any]) -> Targets:
    """Return what is wanted; a strategy that chooses in another way says nothing of how many."""
    asked = spec.targets
    other = _why_other(strategy)
    topk = asked.topk or (None if other else values.whole(strategy.get("topk")))
    n_drop = asked.n_drop if asked.n_drop is not None else values.whole(strategy.get("n_drop"))
    if topk is None or n_drop is None:
        raise _refused(
            f"the strategy of the run's backtest {other or 'has no topk and n_drop'}, so the ledger does not "
            "know what it would hold; set spec.ledger.targets.topk and nDrop"
        )
    if n_drop > topk:
        raise _refused(
            f"spec.ledger.targets would replace {n_drop} instruments a day and hold {topk}; "
            "set topk and nDrop, with an nDrop of at most topk"
        )
    return Targets(
        topk=topk,
        n_drop=n_drop,
        weights=None if asked.weights is None else str(asked.weights),
        risk_degree=values.number(strategy.get("risk_degree")) or Targets.risk_degree,
        hold_days=values.whole(strategy.get("hold_thresh")) or Targets.hold_days,
    )


def _why_other(strategy: Mapping[str, Any]) -> str | None:
    """Return how a strategy chooses in a way of which the ledger has no rule, or None."""
    if strategy.get("only_tradable"):
        return "chooses only among what can be traded on the next day (only_tradable)"
    return None


def _costs(
    spec: LedgerSpec,
    exchange: Mapping[str, Any],
    metadata: Mapping[str, object],
    quotes: Quotes,
    universe: Iterable[str],
) -> Costs:
    strategy = values.mapping(metadata.get("strategy"))
    told = {name: values.number(exchange.get(name)) for name in ("open_cost", "close_cost", "min_cost")}
    if missing := [name for name, value in told.items() if value is None]:
        raise _refused(f"the exchange of the run's backtest does not say {' and '.join(missing)}")
    unit = values.whole(exchange.get("trade_unit"))
    if unit is not None and _has_no_lots(metadata, quotes, universe):
        unit = None  # as Qlib does it: it trades adjusted shares, of which there are fractions
    return Costs(
        **{name: value for name, value in told.items() if value is not None},
        impact_cost=values.number(exchange.get("impact_cost")) or 0.0,
        limit_threshold=values.number(exchange.get("limit_threshold")),
        trade_unit=unit,
        slippage_bps=spec.fill.slippage_bps,
        forbid_all_at_limit=strategy.get("forbid_all_trade_at_limit") is not False,
    )


def _has_no_lots(metadata: Mapping[str, object], quotes: Quotes, universe: Iterable[str]) -> bool:
    """Return whether prices of the backtest's days have no factors."""
    days = metadata.get("backtest")
    span = [values.day(one) for one in days] if isinstance(days, list) else []
    inside = [day for day in span if day is not None and quotes.has(day)]
    return bool(inside) and lacks_factors(quotes, universe, inside[0], inside[-1])


def _refused(what: str) -> StageError:
    return StageError(Reason.LEDGER_REFUSED, f"{what}.")

"""The backtest: strategy, executor, exchange, and what it is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.adopt.classes import EXCHANGES, EXECUTORS, STRATEGIES, Part, take, written
from qlib_shadow_runner.adopt.features import day_of
from qlib_shadow_runner.adopt.report import RefusedError
from qlib_shadow_runner.adopt.write import Parameter
from qlib_shadow_runner.workflow import class_paths
from qlib_shadow_runner.workflow.allowed import analysis as allowed
from qlib_shadow_runner.workflow.shapes import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qlib_shadow_runner.adopt.features import Span
    from qlib_shadow_runner.adopt.report import Report

PLACE: Final = "task.record.PortAnaRecord.config"
START: Final = Parameter("backtest.start")
END: Final = Parameter("backtest.end")
CODES: Final = Parameter("codes | tojson")
BENCHMARK: Final = Parameter("benchmark | tojson")
EXECUTOR: Final = {"time_per_step": "day", "generate_portfolio_metrics": True}
QLIBS_BENCHMARK: Final = "SH000300"
QLIBS_ACCOUNT: Final = 1_000_000_000
QLIBS_COSTS: Final = {"deal_price": "close", "open_cost": 0.0015, "close_cost": 0.0025, "min_cost": 5.0}
"""What Qlib takes where a file gives none; a template must state it."""
PREDICTED: Final = ("<PRED>", ["<MODEL>", "<DATASET>"])
DECIDED: Final = frozenset({"codes", "start_time", "end_time", "freq"})
"""What the run decides of the exchange."""


@dataclass(frozen=True)
class Portfolio:
    """The config of the backtest, and the benchmark for the manifest."""

    config: Part
    benchmark: str | None


def usual_portfolio() -> Portfolio:
    """Return the portfolio of the built-in template, whose parameters the manifest may set."""
    strategy = {"signal": "<PRED>", **_parameters("strategy", ("topk", "n_drop"))}
    costs = _parameters("exchange", ("deal_price", "open_cost", "close_cost", "min_cost", "impact_cost"))
    return Portfolio(_config(strategy, EXECUTOR, Parameter("exchange.account"), costs), None)


def _parameters(section: str, names: Iterable[str]) -> dict[str, Parameter]:
    return {name: Parameter(f"{section}.{name}") for name in names}


def adopt_portfolio(config: Mapping[str, Any], test: Span, report: Report) -> Portfolio:
    """Return the config of the backtest with classes of ours."""
    strategy = _strategy(config.get("strategy"), report)
    executor = _executor(config.get("executor"), report)
    backtest = config.get("backtest") or {}
    if not isinstance(backtest, dict):
        raise RefusedError(f"{PLACE}.backtest is {shown(backtest)}; it must be a mapping")
    _note_days(backtest, test, report)
    account = backtest.get("account", QLIBS_ACCOUNT)
    exchange = _exchange(backtest.get("exchange_kwargs") or {}, report)
    benchmark = _benchmark(backtest.get("benchmark", QLIBS_BENCHMARK), report)
    known = ("start_time", "end_time", "account", "benchmark", "exchange_kwargs")
    _note_others({name: value for name, value in backtest.items() if name not in known}, "backtest", report)
    report.change(
        PLACE,
        f"strategy, executor and exchange of {class_paths.PLUGINS}.backtest: Qlib's figures to the last bit, "
        "on arrays",
    )
    return Portfolio(_config(strategy, executor, account, exchange), benchmark)


def _config(strategy: Part, executor: Part, account: object, exchange: Part) -> Part:
    arguments = {"start_time": START, "end_time": END, "freq": "day", "codes": CODES, **exchange}
    return {
        "strategy": written((class_paths.STRATEGY, "TopkDropoutStrategy"), strategy),
        "executor": written((class_paths.EXECUTOR, "SimulatorExecutor"), executor),
        "backtest": {
            "start_time": START,
            "end_time": END,
            "account": account,
            "benchmark": BENCHMARK,
            "exchange_kwargs": {"exchange": written((class_paths.EXCHANGE, "Exchange"), arguments)},
        },
    }


def _strategy(part: object, report: Report) -> Part:
    _, given = take("strategy", part, f"{PLACE}.strategy", STRATEGIES)
    signal = given.pop("signal", None)
    model, dataset = given.pop("model", None), given.pop("dataset", None)
    if signal is None and (model, dataset) == ("<MODEL>", "<DATASET>"):
        signal = [model, dataset]
    if signal not in PREDICTED:
        raise RefusedError(
            f"{PLACE}.strategy.kwargs.signal is {shown(signal)}; a run trades on its own predictions: write "
            "<PRED>"
        )
    if signal != "<PRED>":
        report.change(f"{PLACE}.strategy.kwargs.signal", "<PRED>, the predictions that SignalRecord has made")
    kept = {
        name: value for name, value in given.items() if value is not None and name in allowed.STRATEGY.fields
    }
    _note_others({name: given[name] for name in given if name not in kept}, "strategy.kwargs", report)
    return {"signal": "<PRED>", **kept}


def _executor(part: object, report: Report) -> Part:
    if part is None:
        return dict(EXECUTOR)
    path, given = take("executor", part, f"{PLACE}.executor", EXECUTORS)
    known = allowed.EXECUTORS.classes[path].fields
    _note_others({name: given[name] for name in given if name not in known}, "executor.kwargs", report)
    return {
        **EXECUTOR,
        **{name: value for name, value in given.items() if name in known and value is not None},
    }


def _exchange(given: object, report: Report) -> Part:
    place = f"{PLACE}.backtest.exchange_kwargs"
    if not isinstance(given, dict):
        raise RefusedError(f"{place} is {shown(given)}; it must be a mapping of arguments")
    found = dict(given)
    if "exchange" in found:
        _, named = take("exchange", found.pop("exchange"), f"{place}.exchange", EXCHANGES)
        found |= named
    kept = {name: found[name] for name in allowed.EXCHANGE.fields if name in found and name not in DECIDED}
    others = {name: found[name] for name in found if name not in kept and name not in DECIDED}
    _note_others(others, "backtest.exchange_kwargs", report)
    for name, value in QLIBS_COSTS.items():
        if kept.get(name) is None:
            kept[name] = value
            report.change(f"{place}.{name}", f"{value}, which Qlib takes where a file gives none")
    if isinstance(kept["deal_price"], str):
        kept["deal_price"] = kept["deal_price"].removeprefix("$")
    return kept


def _benchmark(given: object, report: Report) -> str | None:
    if isinstance(given, str):
        report.change("benchmark", f"{given} is spec.workflow.benchmark")
        return given
    report.leave_out(
        "benchmark",
        f"{shown(given)} is no symbol; the benchmark is found in the dataset, or name one in "
        "spec.workflow.benchmark",
    )
    return None


def _note_days(backtest: Mapping[str, Any], test: Span, report: Report) -> None:
    for name, edge in zip(("start_time", "end_time"), test, strict=True):
        value = backtest.get(name)
        day = edge if value is None else day_of(value, f"{PLACE}.backtest.{name}")
        if day != edge:
            report.leave_out(
                f"{PLACE}.backtest.{name}",
                f"{day} becomes {edge}: a run's backtest has the days of its test segment; set "
                "spec.workflow.segments.test to those that are meant",
            )


def _note_others(others: Mapping[str, Any], where: str, report: Report) -> None:
    for name, value in others.items():
        if value is not None and (name, value) != ("pos_type", "Position"):
            report.leave_out(
                f"{PLACE}.{where}.{name}",
                f"{shown(value)} is not passed on: a run does not take this argument",
            )

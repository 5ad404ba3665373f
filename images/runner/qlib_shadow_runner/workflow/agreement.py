"""Whether a workflow answers the question that was asked: a template says how, the manifest says what.

Dataset, universe, benchmark and days are the run's. A template that wrote others would make the run's
metadata lie, and one that ignored a parameter would lose it without a word.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.contract.fields import fields_of
from qlib_shadow_runner.workflow.parts import (
    exchange_arguments_of,
    handler_of,
    model_of,
    portfolio_of,
    segments_of,
)
from qlib_shadow_runner.workflow.read_yaml import refuse
from qlib_shadow_runner.workflow.shapes import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qlib_shadow_runner.contract.spec import WorkflowSpec
    from qlib_shadow_runner.discovery.research_plan import ResearchPlan
    from qlib_shadow_runner.spec import RunSpec
    from qlib_shadow_runner.workflow.filling import Filled


def check_agreement(
    document: Mapping[str, Any], spec: RunSpec, plan: ResearchPlan, parameters: Mapping[str, Any]
) -> None:
    """Hold the workflow to the run."""
    _check_same(document["qlib_init"], "qlib_init", parameters, ("provider_uri", "region"))
    _check_same(segments_of(document), "segments", parameters["segments"], ("train", "valid", "test"))
    _check_handler(handler_of(document)["kwargs"], plan, parameters)
    _check_backtest(portfolio_of(document)["backtest"], parameters)
    _check_exchange(exchange_arguments_of(document), parameters)
    _check_model(model_of(document)["kwargs"], spec, parameters)


def check_nothing_is_lost(spec: RunSpec, filled: Filled, template: str) -> None:
    """Refuse a template that has no use for what the manifest sets."""
    for parameter, where in _asked(spec.workflow):
        if parameter not in filled.used:
            refuse(
                f"{where} has no effect: {template} does not use {{{{ {parameter} }}}}; "
                "use it there, or remove it from the manifest"
            )


def _asked(workflow: WorkflowSpec) -> Iterator[tuple[str, str]]:
    """Name the template's parameters that the manifest sets, and where: they must not be lost."""
    yield from ((f"model.{name}", f"spec.workflow.model.{name}") for name in workflow.model)
    for section, part in (("strategy", workflow.strategy), ("exchange", workflow.exchange)):
        for one in fields_of(type(part)):
            if one.name in part.given:
                yield f"{section}.{one.name}", f"spec.workflow.{section}.{one.key}"


def _check_same(
    part: Mapping[str, Any], where: str, parameters: Mapping[str, Any], names: tuple[str, ...]
) -> None:
    for name in names:
        if _plain(part[name]) != _plain(parameters[name]):
            parameter = f"segments.{name}" if where == "segments" else name
            _differs(f"{where}.{name}", part[name], parameters[name], parameter)


def _check_handler(handler: Mapping[str, Any], plan: ResearchPlan, parameters: Mapping[str, Any]) -> None:
    _check_same(handler, "handler", parameters, ("instruments",))
    segments = plan.days.segments
    if _day(handler["start_time"]) > segments.train[0]:
        refuse(f"handler.start_time is {handler['start_time']}, after the first day of train")
    if _day(handler["end_time"]) < segments.test[1]:
        refuse(f"handler.end_time is {handler['end_time']}, before the last day of test")
    for where, fitted in _fits(handler, "handler"):
        for end in ("fit_start_time", "fit_end_time"):
            if end in fitted and not segments.train[0] <= _day(fitted[end]) <= segments.train[1]:
                refuse(
                    f"{where}.{end} is {fitted[end]}, outside of train, which is {segments.train[0]} to "
                    f"{segments.train[1]}: what is fitted to other days knows what it will be asked"
                )


def _fits(handler: Mapping[str, Any], where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield where, handler
    for step in ("shared_processors", "infer_processors", "learn_processors"):
        for number, processor in enumerate(handler.get(step, [])):
            yield f"{where}.{step}[{number}]", processor.get("kwargs", {})


def _check_backtest(backtest: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    _check_days(backtest, "backtest", parameters["backtest"])
    _check_same(backtest, "backtest", parameters, ("benchmark",))


def _check_exchange(exchange: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    if "codes" in exchange:
        _check_same(exchange, "exchange_kwargs", parameters, ("codes",))
    if "start_time" in exchange:  # one by class path is not told the backtest's days
        _check_days(exchange, "exchange_kwargs.exchange", parameters["backtest"])


def _check_days(part: Mapping[str, Any], where: str, wanted: Mapping[str, Any]) -> None:
    for name, ours in (("start_time", "start"), ("end_time", "end")):
        if _plain(part[name]) != _plain(wanted[ours]):
            _differs(f"{where}.{name}", part[name], wanted[ours], f"backtest.{ours}")


def _check_model(model: Mapping[str, Any], spec: RunSpec, parameters: Mapping[str, Any]) -> None:
    threads = parameters["num_threads"]
    if model.get("num_threads", threads) > threads:
        refuse(
            f"model.num_threads is {model['num_threads']}, and there are {threads} CPUs here; "
            "write {{ num_threads }}, or leave it out"
        )
    if model["seed"] != spec.workflow.seed:
        _differs("model.seed", model["seed"], spec.workflow.seed, "seed")


def _differs(where: str, found: object, wanted: object, parameter: str) -> None:
    refuse(
        f"{where} is {shown(_plain(found))}, and the run's is {shown(_plain(wanted))}; take it from the "
        f"parameter {parameter}, and change it in the manifest where it must be another"
    )


def _plain(value: object) -> object:
    """Let days and their spelling, lists and tuples be the same."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, date) else value


def _day(value: object) -> date:
    return date.fromisoformat(str(value))

"""Whether a workflow does what the spec asks: the template decides how, the spec decides what.

Dataset, universe, benchmark and days are the spec's. A template that wrote others would make the run's
metadata wrong, and one that does not use a parameter would drop it silently.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract.fields import fields_of
from qlib_shadow_runner.workflow.read_yaml import refuse
from qlib_shadow_runner.workflow.shapes import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qlib_shadow_runner.contract.spec.workflow import Segments, WorkflowSpec
    from qlib_shadow_runner.discovery.research_plan import ResearchPlan
    from qlib_shadow_runner.spec import RunSpec
    from qlib_shadow_runner.workflow.filling import Filled
    from qlib_shadow_runner.workflow.parsed import Workflow

SPANS: Final = {name: f"segments.{name}" for name in ("train", "valid", "test")}
BACKTEST_DAYS: Final = {"start_time": "backtest.start", "end_time": "backtest.end"}
"""Keys of a workflow's parts, and the parameters whose values they must have."""
FIRST_DAY: Final = "{{ segments.train[0] }}"
LAST_DAY: Final = "{{ segments.test[1] }}"
"""What a template writes for the days of its features."""


def check_agreement(workflow: Workflow, filled: Filled, spec: RunSpec, plan: ResearchPlan) -> None:
    """Refuse a workflow that does not do what the spec asks."""
    _check_values(workflow, filled.parameters)
    _check_handler(workflow.handler["kwargs"], plan.days.segments)
    _check_threads(workflow.model["kwargs"], filled.parameters["num_threads"])
    check_used(spec, filled)
    _check_engine(workflow, spec, filled.template)


def _check_values(workflow: Workflow, parameters: Mapping[str, Any]) -> None:
    for where, part, names in _spec_values(workflow):
        for key, parameter in names.items():
            wanted = _plain(_parameter(parameters, parameter))
            if key in part and _plain(part[key]) != wanted:  # vetting requires all but the exchange's
                refuse(
                    f"{where}.{key} is {shown(_plain(part[key]))}, and the run's is {shown(wanted)}; take it "
                    f"from the parameter {parameter}, and change it in the manifest where it must be another"
                )


def _spec_values(workflow: Workflow) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, str]]]:
    """Yield the parts that have values of the spec: where each is, the part, and its parameters."""
    yield "qlib_init", workflow.document["qlib_init"], {"provider_uri": "provider_uri", "region": "region"}
    yield "segments", workflow.segments, SPANS
    yield "handler", workflow.handler["kwargs"], {"instruments": "instruments"}
    yield "backtest", workflow.backtest, {**BACKTEST_DAYS, "benchmark": "benchmark"}
    yield "exchange_kwargs", workflow.exchange, {"codes": "codes"}
    # Qlib tells its own exchange the backtest's days; an exchange by class path is given them.
    yield "exchange_kwargs.exchange", workflow.exchange, BACKTEST_DAYS
    yield "model", workflow.model["kwargs"], {"seed": "seed"}


def _parameter(parameters: Mapping[str, Any], name: str) -> object:
    value: Any = parameters
    for part in name.split("."):
        value = value[part]
    return value


def _check_handler(handler: Mapping[str, Any], segments: Segments) -> None:
    if _day(handler["start_time"]) > segments.train[0]:
        begin = handler["start_time"]
        refuse(f"handler.start_time is {begin}, after the first day of train; write {FIRST_DAY}")
    if _day(handler["end_time"]) < segments.test[1]:
        refuse(f"handler.end_time is {handler['end_time']}, before the last day of test; write {LAST_DAY}")
    for where, fitted in _fits(handler, "handler"):
        for end in ("fit_start_time", "fit_end_time"):
            if end in fitted and not segments.train[0] <= _day(fitted[end]) <= segments.train[1]:
                refuse(
                    f"{where}.{end} is {fitted[end]}, outside of train, which is {segments.train[0]} to "
                    f"{segments.train[1]}: what is fitted to other days knows what it will be asked; take it "
                    "from segments.train"
                )


def _fits(handler: Mapping[str, Any], where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield where, handler
    for step in ("shared_processors", "infer_processors", "learn_processors"):
        for number, processor in enumerate(handler.get(step, [])):
            yield f"{where}.{step}[{number}]", processor.get("kwargs", {})


def _check_threads(model: Mapping[str, Any], threads: int) -> None:
    if model.get("num_threads", threads) > threads:
        refuse(
            f"model.num_threads is {model['num_threads']}, and there are {threads} CPUs here; "
            "write {{ num_threads }}, or leave it out"
        )


def check_used(spec: RunSpec, filled: Filled) -> None:
    """Refuse a parameter that the manifest sets and the template does not use."""
    for parameter, where in _asked(spec.workflow):
        if parameter not in filled.used:
            refuse(
                f"{where} has no effect: {filled.template} does not use {{{{ {parameter} }}}}; "
                "use it there, or remove it from the manifest"
            )


def _asked(workflow: WorkflowSpec) -> Iterator[tuple[str, str]]:
    """Yield the template's parameters that the manifest sets, each with its field."""
    yield from ((f"model.{name}", f"spec.workflow.model.{name}") for name in workflow.model_parameters)
    for section, part in (("strategy", workflow.strategy), ("exchange", workflow.exchange)):
        for one in fields_of(type(part)):
            if one.name in part.given:
                yield f"{section}.{one.name}", f"spec.workflow.{section}.{one.key}"


def _check_engine(workflow: Workflow, spec: RunSpec, template: str) -> None:
    asked = spec.workflow.engine
    others = [name for name, engine in workflow.engines.items() if asked not in (None, engine)]
    if others:
        refuse(
            f"spec.workflow.engine is {asked}, and {template} has another engine's {', '.join(others)}; let "
            'each class path follow {% if engine == "fast" %}, or remove engine from the manifest'
        )


def _plain(value: object) -> object:
    """Return a value in which days equal their spelling, and lists equal tuples."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, date) else value


def _day(value: object) -> date:
    return date.fromisoformat(str(value))

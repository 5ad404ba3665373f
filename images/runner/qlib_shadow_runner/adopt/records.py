"""The records: a run has three, in one order, and needs each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.adopt.classes import RECORD_MODULE, Part, written
from qlib_shadow_runner.adopt.portfolio import Portfolio, adopt_portfolio, usual_portfolio
from qlib_shadow_runner.adopt.report import RefusedError
from qlib_shadow_runner.workflow import class_paths
from qlib_shadow_runner.workflow.allowed.analysis import ANALYSIS
from qlib_shadow_runner.workflow.shapes import class_path_of, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.adopt.features import Span
    from qlib_shadow_runner.adopt.report import Report

PLACE: Final = "task.record"
SIGNALS: Final = "SignalRecord"
ANALYSED: Final = "SigAnaRecord"
PORTFOLIO: Final = "PortAnaRecord"
MODULES: Final = frozenset({RECORD_MODULE, class_paths.RECORDS, class_paths.ANALYSIS})
PLACEHOLDERS: Final = {"model": "<MODEL>", "dataset": "<DATASET>"}


@dataclass(frozen=True)
class Records:
    """The records of the template, and the benchmark for the manifest."""

    records: list[Part]
    benchmark: str | None


def adopt_records(given: object, test: Span, report: Report) -> Records:
    """Return the three records, with the file's arguments where it has them."""
    found = _by_name(given, report)
    report.change(
        PLACE,
        f"{SIGNALS}, {ANALYSED} and {PORTFOLIO} of {class_paths.PLUGINS}: Qlib's figures, with a checkpoint "
        "each, and metrics that are written before they are read",
    )
    for name in (SIGNALS, ANALYSED):
        if name not in found:
            report.change(PLACE, f"{name} is added, since every run has it")
    portfolio = _portfolio(found.get(PORTFOLIO), test, report)
    records = [
        written((class_paths.RECORDS, SIGNALS), PLACEHOLDERS),
        written((class_paths.ANALYSIS, ANALYSED), _analysis(found.get(ANALYSED, {}), report)),
        written((class_paths.RECORDS, PORTFOLIO), {"config": portfolio.config}),
    ]
    return Records(records, portfolio.benchmark)


def _by_name(given: object, report: Report) -> dict[str, Mapping[str, Any]]:
    listed = [given] if isinstance(given, dict) else [] if given is None else given
    if not isinstance(listed, list):
        raise RefusedError(f"{PLACE} is {shown(given)}; it must be a list of records")
    found: dict[str, Mapping[str, Any]] = {}
    for number, record in enumerate(listed):
        place = f"{PLACE}[{number}]"
        if not isinstance(record, dict) or "class" not in record:
            raise RefusedError(f"{place} is {shown(record)}; it must be a mapping with class and kwargs")
        module, name = class_path_of(record, RECORD_MODULE)
        arguments = record.get("kwargs") or {}
        if not isinstance(arguments, dict):
            raise RefusedError(f"{place}.kwargs is {shown(arguments)}; it must be a mapping of arguments")
        if module in MODULES and name in (SIGNALS, ANALYSED, PORTFOLIO) and name not in found:
            found[name] = arguments
        else:
            report.leave_out(
                place,
                f"{name} of {module}: a run has {SIGNALS}, {ANALYSED} and {PORTFOLIO}, once each; compute "
                "what others make from what these leave in mlruns",
            )
    return found


def _analysis(given: Mapping[str, Any], report: Report) -> Part:
    kept = {}
    for name, value in given.items():
        if value is None or (name == "skip_existing" and not value):
            continue
        if name in ANALYSIS.fields:
            kept[name] = value
        else:
            report.leave_out(f"{PLACE}.{ANALYSED}.{name}", f"{shown(value)} is not passed on")
    return kept


def _portfolio(given: Mapping[str, Any] | None, test: Span, report: Report) -> Portfolio:
    if given is None:
        report.change(
            PLACE, f"{PORTFOLIO} is added with the usual portfolio and costs, since every run has it"
        )
        return usual_portfolio()
    for name, value in given.items():
        if name != "config" and value not in (None, False, "day", "1day"):
            report.leave_out(f"{PLACE}.{PORTFOLIO}.{name}", f"{shown(value)}: a run analyses days")
    config = given.get("config")
    if config is None:
        report.change(PLACE, f"{PORTFOLIO} without config has the usual portfolio and costs")
        return usual_portfolio()
    if not isinstance(config, dict):
        raise RefusedError(f"{PLACE}.{PORTFOLIO}.config is {shown(config)}; it must be a mapping")
    return adopt_portfolio(config, test, report)

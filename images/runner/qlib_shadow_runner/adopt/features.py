"""The dataset: its handler, which makes features and labels, the processors, and the days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.adopt.classes import DATASETS, HANDLERS, LOADERS, Part, take, written
from qlib_shadow_runner.adopt.report import RefusedError
from qlib_shadow_runner.adopt.write import Parameter
from qlib_shadow_runner.workflow.allowed.features import HANDLERS as ALLOWED
from qlib_shadow_runner.workflow.allowed.features import PROCESSOR_MODULE, PROCESSORS
from qlib_shadow_runner.workflow.shapes import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.adopt.report import Report

PLACE: Final = "task.dataset.kwargs"
HANDLER: Final = f"{PLACE}.handler.kwargs"
SEGMENTS: Final = ("train", "valid", "test")
STEPS: Final = ("shared_processors", "infer_processors", "learn_processors")
FIT: Final = ("fit_start_time", "fit_end_time")
NO_EFFECT: Final = ("drop_raw", "init_data")
"""Arguments of Qlib's handlers that decide memory and time alone."""
DAILY: Final = (None, "day", "1d", "1day")
OUR_PROCESSORS: Final = {path: path for path in PROCESSORS.classes}
TRAIN: Final = (Parameter("segments.train[0]"), Parameter("segments.train[1]"))
END: Final = Parameter("segments.test[1]")
INSTRUMENTS: Final = Parameter("instruments | tojson")

Span = tuple[date, date]


@dataclass(frozen=True)
class Features:
    """The dataset of the template, and what the manifest says of it."""

    dataset: Part
    segments: dict[str, Span]
    market: str


def adopt_features(part: object, report: Report) -> Features:
    """Return the dataset of the template, with market and segments for the manifest."""
    path, given = take("dataset", part, "task.dataset", DATASETS)
    handler = given.pop("handler", None)
    _check_bars(handler)
    ours, arguments = take("handler", handler, f"{PLACE}.handler", HANDLERS)
    segments = _segments_of(given.pop("segments", None), arguments, report)
    market = _market_of(arguments.pop("instruments", None))
    for name, value in given.items():
        if value:
            report.leave_out(
                f"{PLACE}.{name}", f"{shown(value)} is not passed on; the dataset is loaded whole"
            )
    report.change(
        f"{PLACE}.handler",
        f"{ours[1]} of {ours[0]}: Qlib's values to the last bit, on arrays and kept for the next run",
    )
    report.change(
        "instruments",
        f"{market} is spec.workflow.market; a run never holds its benchmark, even if the market lists it",
    )
    adopted = written(ours, _handler_arguments(ours, arguments, segments["train"], report))
    parts = {"handler": adopted, "segments": Parameter("segments | tojson")}
    return Features(written(path, parts), segments, market)


def _check_bars(handler: object) -> None:
    """Refuse other bars than daily ones, first of all: another handler would not help."""
    arguments = _kwargs(handler)
    for given in (arguments, _kwargs(arguments.get("data_loader"))):
        freq = given.get("freq")
        if isinstance(freq, dict) or freq not in DAILY:
            bars = (
                sorted({str(one) for one in freq.values()} - {"day"})
                if isinstance(freq, dict)
                else [str(freq)]
            )
            raise RefusedError(
                f"needs bars of {' and '.join(bars) or shown(freq)}, and a dataset has bars of a day",
                f"bars of {' and '.join(bars)}",
            )


def _kwargs(part: object) -> Mapping[str, Any]:
    given = part.get("kwargs") if isinstance(part, dict) else None
    return given if isinstance(given, dict) else {}


def _market_of(instruments: object) -> str:
    if not isinstance(instruments, str):
        raise RefusedError(
            f"{HANDLER}.instruments is {shown(instruments)}, and a run takes a market by its name; write the "
            "symbols into instruments/NAME.txt of the dataset, and instruments: NAME here",
            "a market by its name",
        )
    return instruments


def _segments_of(given: object, handler: Part, report: Report) -> dict[str, Span]:
    """Return the segments as far as the handler's days reach: Qlib has no other rows."""
    if not isinstance(given, dict) or any(name not in given for name in SEGMENTS):
        raise RefusedError(f"{PLACE}.segments must have {', '.join(SEGMENTS)}, each as [first day, last day]")
    for name in given:
        if name not in SEGMENTS:
            report.leave_out(f"{PLACE}.segments.{name}", "a run has train, valid and test alone")
    segments = {name: _span(given[name], f"{PLACE}.segments.{name}") for name in SEGMENTS}
    first = _day_or_none(handler.pop("start_time", None), f"{HANDLER}.start_time")
    last = _day_or_none(handler.pop("end_time", None), f"{HANDLER}.end_time")
    train, test = segments["train"], segments["test"]
    fit = _day_or_none(handler.get(FIT[0]), f"{HANDLER}.{FIT[0]}")
    if first and fit and fit < first:
        handler[FIT[0]] = first  # there are no rows before it
    if first and first > train[0]:
        segments["train"] = (first, train[1])
        report.change(f"{PLACE}.segments.train", f"begins on {first}, as the handler's data does")
    if last and last < test[1]:
        segments["test"] = (test[0], last)
        report.change(f"{PLACE}.segments.test", f"ends on {last}, as the handler's data does")
    report.change(
        "days",
        "the segments are spec.workflow.segments, and the days of handler and backtest follow them; remove "
        "that field, and they follow the dataset's calendar, so that a nightly run has the newest days",
    )
    return segments


def _span(given: object, place: str) -> Span:
    if not isinstance(given, list) or len(given) != 2:  # noqa: PLR2004 - first and last day
        raise RefusedError(f"{place} is {shown(given)}; it must be [first day, last day]")
    return (day_of(given[0], f"{place}[0]"), day_of(given[1], f"{place}[1]"))


def _day_or_none(given: object, place: str) -> date | None:
    return None if given is None else day_of(given, place)


def day_of(given: object, place: str) -> date:
    """Return a day of the file, whose time of the day means nothing for daily bars."""
    try:
        return date.fromisoformat(str(given).strip().partition(" ")[0].partition("T")[0])
    except ValueError:
        raise RefusedError(f"{place} is {shown(given)}; it must be a day such as 2022-12-30") from None


def _handler_arguments(ours: tuple[str, str], given: Part, train: Span, report: Report) -> Part:
    own_features = ours[1] == "DataHandlerLP"
    known = ALLOWED.classes[ours].fields
    found: Part = {"start_time": TRAIN[0], "end_time": END, "instruments": INSTRUMENTS}
    for name, value in given.items():
        if name in FIT or value is None or name in NO_EFFECT or name == "freq":
            continue
        if name in STEPS and name in known:
            found[name] = _processors(value, f"{HANDLER}.{name}", train, report, passes_days=not own_features)
        elif name == "data_loader" and name in known:
            found[name] = _loader(value, report)
        elif name in known:
            found[name] = value
        else:
            _refuse_or_note(name, value, report)
    if not own_features:
        found |= _fit_days(given, HANDLER, train, report)
    return found


def _refuse_or_note(name: str, value: object, report: Report) -> None:
    if name in ("filter_pipe", "inst_processors") and value:
        raise RefusedError(
            f"needs {name} in {HANDLER}, which a run does not take; make a market of the instruments that it "
            "leaves, in instruments/NAME.txt of the dataset",
            name,
        )
    report.leave_out(
        f"{HANDLER}.{name}", f"{shown(value)} is not passed on: a run does not take this argument"
    )


def _loader(part: object, report: Report) -> Part:
    place = f"{HANDLER}.data_loader"
    path, given = take("loader", part, place, LOADERS, "qlib.data.dataset.loader")
    for name, value in given.items():
        if name not in ("config", "freq") and value not in (None, True):
            _refuse_or_note(name, value, report)
    return written(path, {"config": given.get("config")})


def _processors(given: object, place: str, train: Span, report: Report, *, passes_days: bool) -> list[Part]:
    if not isinstance(given, list):
        raise RefusedError(f"{place} is {shown(given)}; it must be a list of processors")
    found = []
    for number, one in enumerate(given):
        where = f"{place}[{number}]"
        path, arguments = take("processor", one, where, OUR_PROCESSORS, PROCESSOR_MODULE)
        fitted = set(FIT) <= PROCESSORS.classes[path].fields.keys()
        kept = {name: value for name, value in arguments.items() if name not in FIT and value is not None}
        if fitted and not passes_days:  # a ready-made handler gives its own days to each of them
            kept |= _fit_days(arguments, f"{where}.kwargs", train, report)
        found.append({"class": path[1], **({"kwargs": kept} if kept else {})})
    return found


def _fit_days(given: Mapping[str, Any], place: str, train: Span, report: Report) -> dict[str, object]:
    """Return the days to fit to: those of train by name, others as they are if they lie in train."""
    found: dict[str, object] = {}
    for name, parameter, edge in zip(FIT, TRAIN, train, strict=True):
        day = _day_or_none(given.get(name), f"{place}.{name}") or edge
        found[name] = parameter if day == edge else day
        if not train[0] <= day <= train[1]:
            found[name] = parameter
            report.leave_out(
                f"{place}.{name}",
                f"{day} lies outside of train; a run fits to train alone, which does not know the answer",
            )
    return found

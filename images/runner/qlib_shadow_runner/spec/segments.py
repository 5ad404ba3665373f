"""spec.workflow.segments: three spans of days, where a run does not leave them to be made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.fields import check_keys, mapping, refuse


@dataclass(frozen=True)
class Segments:
    """Three spans of trading days, both ends included."""

    train: tuple[date, date]
    valid: tuple[date, date]
    test: tuple[date, date]


def parse_segments(value: object) -> Segments | None:
    """Read the segments, or None where they are left out."""
    where = "spec.workflow.segments"
    if value is None:
        return None
    if value == "auto":  # the CRD cannot take a word where a mapping may stand
        refuse(f"{where} is made from the calendar when it is left out; leave it out")
    raw = mapping(value, where)
    names = ("train", "valid", "test")
    check_keys(raw, set(names), where)
    missing = [name for name in names if name not in raw]
    if missing:
        refuse(
            f"{where} lacks {', '.join(missing)}: "
            "give all of train, valid and test as [first, last], or leave segments out"
        )
    return Segments(*(_span(raw[name], f"{where}.{name}") for name in names))


def _span(value: object, where: str) -> tuple[date, date]:
    if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004 - a span has two ends
        refuse(f"{where} must be [first day, last day], for example [2019-01-02, 2022-12-30]")
    first, last = (_day(end, where) for end in value)
    if first > last:
        refuse(f"{where} begins on {first}, after its end {last}", Reason.SEGMENTS_INVALID)
    return first, last


def _day(value: object, where: str) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        refuse(f'{where}: "{value}" is not a date; write it as 2022-12-30')

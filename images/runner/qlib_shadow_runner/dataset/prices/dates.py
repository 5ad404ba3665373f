"""Convert dates in all usual forms to days since 1970.

A day is the day of the market. A date without a time zone is that day already. An instant is it only in the
market's time zone, which is the file's own or the one that the spec gives; where neither is known and the
day depends on it, the file is refused.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qlib_shadow_runner.dataset.prices.fault_texts import broken, cut
from qlib_shadow_runner.dataset.prices.written_days import (
    DAY_SECONDS,
    EPOCH,
    WrittenDay,
    is_turned,
    order_of,
    read_day,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Days = NDArray[np.int32]
    Where = Callable[[int], str]

FIRST: Final = date(1900, 1, 1).toordinal() - EPOCH
LAST: Final = date(2100, 1, 1).toordinal() - EPOCH
REMEDY: Final = "Write days as 2019-01-02 or 20190102."
TIMEZONE: Final = "spec.dataset.source.prices.timezone"
SAY_THE_ZONE: Final = f"Write the market's time zone, for example {TIMEZONE}: Asia/Tokyo, or plain days."
EVENING: Final = 22 * 3600
"""From this time of day on, an offset without daylight saving time may show the day before."""
ONE_ZONE: Final = 60
"""The most minutes by which daylight saving time moves the offset of one zone."""
UTC_NAMES: Final = re.compile(r"(Etc/)?(UTC|GMT|UCT|Zulu|Universal|Greenwich|GMT[+-]?0)|[+-]00:?00")
PLACES: Final = re.compile(r"(?!Etc/)[A-Za-z]+/.+")
"""Zones that know when their own daylight saving time begins."""


def days_of(column: pa.ChunkedArray, file: str, where: Where, zone: str | None = None) -> Days:
    """Return a column of dates, timestamps, numbers or texts as days since 1970 in the market's zone."""
    kind = column.type
    if column.null_count:
        row = int(np.asarray(column.is_null()).argmax())
        broken(file, f"has no date in {where(row)}. {REMEDY}")
    if pa.types.is_floating(kind):
        column = _whole_numbers(column, file)
        kind = column.type
    if pa.types.is_date(kind):
        days = _ints(column.cast(pa.date32()).cast(pa.int32()))
    elif pa.types.is_timestamp(kind):
        days = _by_timestamp(column, file, where, zone)
    elif pa.types.is_integer(kind) or is_text(kind):
        days = _by_value(column, file, where, zone)
    else:
        broken(file, f"has a date column of the type {kind}, which is not a date. {REMEDY}")
    return _checked(days, file, where)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type holds texts, directly or as a dictionary."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_string_view(inner)
    )


def _whole_numbers(column: pa.ChunkedArray, file: str) -> pa.ChunkedArray:
    """Return numbers that pandas made floats of, because a cell was missing once, as whole numbers again."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        broken(file, f"has a date column of the type {column.type}, which is not a date. {REMEDY}")


def _by_timestamp(column: pa.ChunkedArray, file: str, where: Where, zone: str | None) -> Days:
    own = column.type.tz
    local = column if own is None else _local(column, zone or own, file)
    seconds = np.asarray(local.cast(pa.timestamp("s"), safe=False).cast(pa.int64()).to_numpy())
    days = _checked(seconds // DAY_SECONDS, file, where)  # Arrow's own days of a far year begin again
    if own is None and zone is None:
        return days
    if own is None or not (zone or PLACES.fullmatch(own)):
        clock = seconds - days.astype(np.int64) * DAY_SECONDS
        doubtful = clock > 0 if own is None or UTC_NAMES.fullmatch(own) else clock >= EVENING
        if doubtful.any():
            row = int(doubtful.argmax())
            _refuse_doubtful(column[row], file, where(row), is_instant=own is not None)
    return days


def _local(column: pa.ChunkedArray, zone: str, file: str) -> pa.ChunkedArray:
    """Return timestamps by the clock of a zone, because the day in Tokyo may differ from that in UTC."""
    try:
        return pc.local_timestamp(column.cast(pa.timestamp(column.type.unit, zone)))
    except pa.ArrowInvalid:
        broken(file, f"has dates in the time zone {zone}, which is not known here. Write plain dates.")


def _by_value(column: pa.ChunkedArray, file: str, where: Where, zone: str | None) -> Days:
    """Convert each distinct text or number once, because there are far fewer days than rows."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    encoded = encoded.unify_dictionaries().combine_chunks()
    codes = _ints(encoded.indices)
    every: list[object] = encoded.dictionary.to_pylist()
    used = np.flatnonzero(np.bincount(codes, minlength=len(every)))  # a dictionary may hold unused values
    values = [every[code] for code in used]

    def place(number: int) -> str:
        return where(int((codes == used[number]).argmax()))

    days = np.zeros(len(every), np.int32)
    days[used] = _days_of_values(values, file, place, zone)
    return days[codes]


def _days_of_values(values: Sequence[object], file: str, place: Where, zone: str | None) -> list[int]:
    order = order_of(values)
    read = [read_day(value, day_first=order) for value in values]
    found = [day for day in read if day is not None]
    if len(found) < len(read):
        _refuse_unreadable(values, read, file, place)
    if zone is not None:
        return _in_zone(values, found, ZoneInfo(zone), file, place)
    _check_offsets(values, found, file, place)
    return [day.day for day in found]


def _refuse_unreadable(
    values: Sequence[object], read: Sequence[WrittenDay | None], file: str, place: Where
) -> None:
    number = read.index(None)
    value = values[number]
    shown = f'has "{cut(value)}" as the date in {place(number)}'
    if is_turned(value) and order_of([value]) is None and order_of(values) is None:
        broken(
            file,
            f"{shown}; no date of the file shows whether the day or the month stands first. {REMEDY}",
        )
    broken(file, f"{shown}, which is not a date. {REMEDY}")


def _in_zone(
    values: Sequence[object], days: Sequence[WrittenDay], zone: ZoneInfo, file: str, place: Where
) -> list[int]:
    """Return the days of instants in the zone; a day without an offset and a time of day stays as it is."""
    for number, day in enumerate(days):
        if day.offset is None and day.seconds:
            _refuse_doubtful(values[number], file, place(number), is_instant=False)
    return [
        day.instant.astimezone(zone).toordinal() - EPOCH
        if day.offset is not None and FIRST <= day.day < LAST  # beyond, a datetime may not hold it
        else day.day
        for day in days
    ]


def _check_offsets(values: Sequence[object], days: Sequence[WrittenDay], file: str, place: Where) -> None:
    """Refuse offsets of several zones, and instants of a fixed offset that may belong to another day."""
    offsets = {day.offset: number for number, day in enumerate(days) if day.offset is not None}
    if not offsets:
        return
    least, most = min(offsets), max(offsets)
    if most - least > ONE_ZONE:
        one, other = offsets[least], offsets[most]
        broken(
            file,
            f'has dates with the offsets of several time zones, "{cut(values[one])}" in {place(one)} and '
            f'"{cut(values[other])}" in {place(other)}. {SAY_THE_ZONE}',
        )
    if least != most:
        return
    for number, day in enumerate(days):
        if day.offset is not None and day.seconds >= (EVENING if least else 1):
            _refuse_doubtful(values[number], file, place(number), is_instant=True)


def _refuse_doubtful(value: object, file: str, place: str, *, is_instant: bool) -> None:
    shown = f'has "{cut(value)}" as the date in {place}'
    if is_instant:
        broken(file, f"{shown}: an instant, which may be another day where it was traded. {SAY_THE_ZONE}")
    broken(
        file,
        f"{shown}, a time of day without a time zone, and {TIMEZONE} is given. Write the offset into the "
        "file, or plain days, or leave timezone out where the times are the market's own.",
    )


def _checked(days: Days | NDArray[np.int64], file: str, where: Where) -> Days:
    outside = (days < FIRST) | (days >= LAST)
    if outside.any():
        row = int(outside.argmax())
        shown = np.datetime64(int(days[row]), "D")
        broken(file, f"has the date {shown} in {where(row)}; days lie from 1900 to 2099. {REMEDY}")
    return days.astype(np.int32, copy=False)


def _ints(column: pa.Array | pa.ChunkedArray) -> Days:
    return np.asarray(
        column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy(), np.int32
    )

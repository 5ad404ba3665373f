"""Convert dates in all usual forms to days since 1970."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qlib_shadow_runner.dataset.prices.fault_texts import broken, cut

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Days = NDArray[np.int32]
    Where = Callable[[int], str]

EPOCH: Final = date(1970, 1, 1).toordinal()
FIRST: Final = date(1900, 1, 1).toordinal() - EPOCH
LAST: Final = date(2100, 1, 1).toordinal() - EPOCH
WRITTEN: Final = re.compile(r"(\d{4})([-/.]?)(\d{2})\2(\d{2})(?:[T ].*)?", re.ASCII)
"""2019-01-02, 2019/01/02 or 20190102, optionally with a time of day, which is ignored."""
REMEDY: Final = "Write days as 2019-01-02 or 20190102."


def days_of(column: pa.ChunkedArray, file: str, where: Where) -> Days:
    """Return a column of dates, timestamps, numbers or texts as days since 1970."""
    kind = column.type
    if column.null_count:
        row = int(np.asarray(column.is_null()).argmax())
        broken(file, f"has no date in {where(row)}. {REMEDY}")
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        days = _ints(_local(column, file).cast(pa.date32()).cast(pa.int32()))
    elif pa.types.is_integer(kind) or is_text(kind):
        days = _by_value(column, file, where)
    else:
        broken(file, f"has a date column of the type {kind}, which is not a date. {REMEDY}")
    return _checked(days, file, where)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type holds texts, directly or as a dictionary."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_string_view(inner)
    )


def _local(column: pa.ChunkedArray, file: str) -> pa.ChunkedArray:
    """Return timestamps in their own time zone, because the day in New York may differ from that in UTC."""
    if not pa.types.is_timestamp(column.type) or column.type.tz in {None, "UTC"}:
        return column.cast(pa.timestamp("s"), safe=False) if pa.types.is_timestamp(column.type) else column
    try:
        return pc.local_timestamp(column).cast(pa.timestamp("s"), safe=False)
    except pa.ArrowInvalid:
        broken(
            file, f"has dates in the time zone {column.type.tz}, which is not known here. Write plain dates."
        )


def _by_value(column: pa.ChunkedArray, file: str, where: Where) -> Days:
    """Convert each distinct text or number once, because there are far fewer days than rows."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    encoded = encoded.unify_dictionaries().combine_chunks()
    values = encoded.dictionary.to_pylist()
    known = [_day(value) for value in values]
    codes = _ints(encoded.indices)
    if None in known:
        unreadable = np.array([day is None for day in known])[codes]
        if unreadable.any():
            row = int(unreadable.argmax())
            broken(
                file,
                f'has "{cut(values[codes[row]])}" as the date in {where(row)}, which is not a date. {REMEDY}',
            )
    return np.array([day or 0 for day in known], np.int32)[codes]


def _day(value: object) -> int | None:
    match = WRITTEN.fullmatch(str(value).strip())
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[3]), int(match[4])).toordinal() - EPOCH
    except ValueError:
        return None


def _checked(days: Days, file: str, where: Where) -> Days:
    outside = (days < FIRST) | (days >= LAST)
    if outside.any():
        row = int(outside.argmax())
        shown = np.datetime64(int(days[row]), "D")
        broken(file, f"has the date {shown} in {where(row)}; days lie from 1900 to 2099. {REMEDY}")
    return days


def _ints(column: pa.Array | pa.ChunkedArray) -> Days:
    return np.asarray(
        column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy(), np.int32
    )

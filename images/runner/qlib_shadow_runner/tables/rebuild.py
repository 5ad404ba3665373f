"""Tables from the answer of the child that read the pickles. Nothing in the answer is taken for true.

Each number has one of a few types, each place is inside of the answer, and each code names a value; else
there is a sentence instead of the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qlib_shadow_runner.pickles.answer import FORMATS, NO_NAME, TIMES, UNITS, split
from qlib_shadow_runner.pickles.files import FILES, GAINS, NAMES, POSITIONS, RECORDED_IN
from qlib_shadow_runner.tables.layout import COLUMNS, COUNT, DAY, TEXT, Tables, check_days, schema_of
from qlib_shadow_runner.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

NO_TIME: Final = np.iinfo(np.int64).min
MOST_LETTERS: Final = 1 << 30
"""Bytes of all texts of a column: a text that is named a million times is written a million times."""


def rebuild(content: bytes) -> Tables:
    """Return the tables of an answer, with a sentence for each file that gave none."""
    header, buffers = split(content)
    answered, why = header.get("tables"), header.get("faults")
    if not isinstance(answered, dict) or not isinstance(why, dict):
        raise ValueError("it has no tables")  # noqa: TRY004 - as with every other fault of an answer
    found: dict[str, pa.Table] = {}
    faults = {file: f"cannot be read ({one_line(why[file])})" for file in FILES if file in why}
    for name in COLUMNS:
        try:
            if answered.get(name):
                found[name] = _table(name, answered, buffers)
        except Exception as error:  # noqa: BLE001 - another program may have answered
            faults[RECORDED_IN[name]] = f"cannot be read ({one_line(error)})"
    if GAINS not in found:
        faults.pop(RECORDED_IN[NAMES], None)  # only the gains need it
    return Tables(found, faults)


def _table(name: str, answered: Mapping[str, Any], buffers: memoryview) -> pa.Table:
    described = answered[name]
    schema = schema_of(name, [str(column) for column, _ in described])
    columns = [
        _column(content, field.type, buffers, may_lack=name == POSITIONS and field.type == TEXT)
        for field, (_, content) in zip(schema, described, strict=True)
    ]
    if len({len(column) for column in columns}) != 1:
        raise ValueError("its columns have different lengths")
    table = pa.Table.from_arrays(columns, schema=schema)
    return _renamed(table, answered[NAMES][0][1]["texts"]) if name == GAINS and answered.get(NAMES) else table


def _renamed(gains: pa.Table, names: list[str]) -> pa.Table:
    """Return the gains with the names of the features, which the model knows by number."""
    if len(names) != len(gains):
        return gains
    known = {f"Column_{place}": name for place, name in enumerate(names)}
    features = [known.get(feature, feature) for feature in gains["feature"].to_pylist()]
    return gains.set_column(0, "feature", pa.array(features, TEXT))


def _column(
    content: Mapping[str, Any], kind: pa.DataType, buffers: memoryview, *, may_lack: bool = False
) -> pa.Array:
    """Return a column of this kind; a row may lack a value only where that has a meaning."""
    if "codes" in content:
        return _decoded(content, kind, buffers, may_lack=may_lack)
    if "texts" in content:
        texts = pa.array(content["texts"], pa.string())
        if kind != TEXT or texts.null_count:
            raise ValueError("it has texts where numbers belong, or lacks one")
        return texts
    if "numbers" in content:
        return _listed(content["numbers"], kind)
    part = content["values"]
    values = _values(part, buffers)
    if kind == DAY:
        return pa.array(_days(values, TIMES[part["dtype"]]))
    if kind == TEXT or part["dtype"] not in FORMATS:
        raise ValueError("it has numbers where something else belongs")
    return pa.array(values.astype(np.float64), from_pandas=True)


def _listed(numbers: list[float], kind: pa.DataType) -> pa.Array:
    if kind == TEXT:
        return pa.array(numbers, TEXT)  # there is none
    if kind in (DAY, COUNT):
        whole = np.array(numbers, np.int64)
        return pa.array(_checked_days(whole)) if kind == DAY else pa.array(whole)
    return pa.array(np.array(numbers, np.float64), from_pandas=True)


def _decoded(
    content: Mapping[str, Any], kind: pa.DataType, buffers: memoryview, *, may_lack: bool
) -> pa.Array:
    """Return a column whose values are listed once and named by number."""
    if "codes" in content["of"]:
        raise ValueError("its values are named by numbers of numbers")
    codes, listed = _values(content["codes"], buffers), _column(content["of"], kind, buffers)
    least = NO_NAME if may_lack else 0
    if codes.dtype.kind != "i" or (len(codes) and not least <= codes.min() <= codes.max() < len(listed)):
        raise ValueError("a row has no day or no name")
    if kind == TEXT and len(listed):
        sizes = pc.binary_length(listed).to_numpy()
        if int(sizes[codes].sum()) > MOST_LETTERS:
            raise ValueError("its names are too long")
    places = codes.astype(np.int64)
    return listed.take(pa.array(places, mask=places == NO_NAME))


def _values(part: Mapping[str, Any], buffers: memoryview) -> NDArray[Any]:
    """Return some of the values of a buffer."""
    at, size, start, step, length = (int(part[name]) for name in ("at", "size", "start", "step", "length"))
    dtype = part["dtype"]
    if dtype not in FORMATS and dtype not in TIMES:
        raise ValueError("its values are of an unknown type")
    if min(at, size, start, length) < 0 or step < 1 or at + size > len(buffers):
        raise ValueError("its values are not in the answer")
    stored = np.dtype("<i8") if dtype in TIMES else np.dtype(dtype)
    values: NDArray[Any] = np.frombuffer(buffers[at : at + size], stored)[start::step][:length]
    if len(values) != length:
        raise ValueError("its values are fewer than it says")
    return values


def _days(values: NDArray[Any], unit: str) -> NDArray[Any]:
    """Return times as days; a time that is no day is refused."""
    if (values == NO_TIME).any():
        raise ValueError("a row has no day")
    days, rest = np.divmod(values, UNITS[unit])
    if rest.any():
        raise ValueError("a row is of a time, not of a day")
    return _checked_days(days)


def _checked_days(days: NDArray[Any]) -> NDArray[Any]:
    if len(days):
        check_days(int(days.min()), int(days.max()))
    return days.astype("datetime64[D]")

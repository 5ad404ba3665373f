"""Tables and indexes as pandas pickles them, since version 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from qlib_shadow_runner.pickles.answer import TIMES, Coded, Part, packed
from qlib_shadow_runner.pickles.arrays import (
    ARROW_TEXTS,
    OBJECTS,
    SIZES,
    Array,
    array_of,
    arrow_texts_of,
    dtype_of,
    number_of,
)
from qlib_shadow_runner.pickles.nodes import (
    Made,
    Pairs,
    Unrecognised,
    arguments_of,
    described,
    is_made_by,
    is_named,
    state_of,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qlib_shadow_runner.pickles.answer import Column

FRAME: Final = frozenset({"pandas.DataFrame", "pandas.core.frame.DataFrame"})
SERIES: Final = frozenset({"pandas.Series", "pandas.core.series.Series"})
BLOCK: Final = frozenset({"pandas._libs.internals._unpickle_block"})
SLICE: Final = frozenset({"builtins.slice", "__builtin__.slice"})
NEW_INDEX: Final = frozenset(
    {"pandas.core.indexes.base._new_Index", "pandas.core.indexes.datetimes._new_DatetimeIndex"}
)
MULTI: Final = frozenset({"pandas.MultiIndex", "pandas.core.indexes.multi.MultiIndex"})
RANGE: Final = frozenset({"pandas.RangeIndex", "pandas.core.indexes.range.RangeIndex"})
BACKED: Final = frozenset({"pandas._libs.arrays.__pyx_unpickle_NDArrayBacked"})
TEXT_TYPE: Final = frozenset({"pandas.StringDtype", "pandas.core.arrays.string_.StringDtype"})
BLOCKS_SINCE: Final = "0.14.1"
"""The version of pandas since which the state of the blocks has this form."""
MOST_COLUMNS: Final = 1_000


class Index(NamedTuple):
    """The names of rows or columns: one column for each level; none where they are only counted."""

    length: int
    levels: list[Column]


class Block(NamedTuple):
    """Some columns of a table, which have one type."""

    values: Array
    places: Sequence[int]


class Frame(NamedTuple):
    """A table."""

    rows: Index
    columns: Index
    blocks: list[Block]

    @property
    def names(self) -> list[str]:
        """Return the names of the columns."""
        (texts,) = self.columns.levels if len(self.columns.levels) == 1 else (None,)
        if not isinstance(texts, list) or len(texts) > MOST_COLUMNS:
            raise Unrecognised("the columns of a table have no names, or are too many")
        return [str(text) for text in texts]

    def column(self, place: int) -> Column:
        """Return the values of a column."""
        for block in self.blocks:
            if place in block.places:
                return _row(block.values, block.places.index(place), self.rows.length)
        raise Unrecognised("a table lacks a column that it names")


def frame_of(node: object) -> Frame:
    """Return a table; a series is a table of one column."""
    if not is_made_by(node, FRAME | SERIES):
        raise Unrecognised(f"it holds no table, but {described(node)}")
    manager = state_of(node).get("_mgr")
    axes, blocks = _manager(manager)
    series = is_made_by(node, SERIES)
    if len(axes) != (1 if series else 2):
        raise Unrecognised("a table has another number of axes")
    rows = index_of(axes[-1])
    columns = Index(1, [["value"]]) if series else index_of(axes[0])
    if len(blocks) > MOST_COLUMNS:
        raise Unrecognised("a table has too many columns")
    return Frame(rows, columns, [_block(values, places, series=series) for values, places in blocks])


def _manager(node: object) -> tuple[list[Any], list[tuple[object, object]]]:
    """Return the axes of a table, and the values and places of its blocks."""
    if type(node) is not Made:
        raise Unrecognised("a table lacks its values")
    if type(node.arguments) is tuple and len(node.arguments) == 2:  # noqa: PLR2004
        blocks, axes = node.arguments
        found = [arguments_of(block, BLOCK, 2)[:2] for block in _sequence(blocks)]
        return _sequence(axes), [(values, places) for values, places in found]
    state = node.state[3] if type(node.state) is tuple and len(node.state) == 4 else None  # noqa: PLR2004
    parts = state.by_text().get(BLOCKS_SINCE) if type(state) is Pairs else None
    if type(parts) is not Pairs:
        raise Unrecognised("a table keeps its values in an unknown way")
    named = parts.by_text()
    blocks = [block.by_text() for block in _sequence(named.get("blocks")) if type(block) is Pairs]
    return _sequence(named.get("axes")), [(block.get("values"), block.get("mgr_locs")) for block in blocks]


def _sequence(node: object) -> list[Any]:
    if type(node) not in (list, tuple):
        raise Unrecognised("a table lacks its axes or its blocks")
    return list(node)  # type: ignore[call-overload, no-any-return]


def _block(values: object, places: object, *, series: bool) -> Block:
    array = array_of(values)
    if series:
        return Block(Array(array.dtype, (1, array.size), array.fortran, array.data, array.objects), [0])
    found = _places(places)
    if len(array.shape) != 2 or array.shape[0] != len(found):  # noqa: PLR2004
        raise Unrecognised("a table has columns without a place")
    return Block(array, found)


def _places(node: object) -> Sequence[int]:
    if is_made_by(node, SLICE):
        start, stop, step = (1 if part is None else whole(part) for part in arguments_of(node, SLICE, 3)[:3])
        if not 0 <= start <= stop <= MOST_COLUMNS or step < 1:
            raise Unrecognised("a table has columns without a place")
        return range(start, stop, step)
    array = array_of(node)
    if array.dtype != "<i8" or array.size > MOST_COLUMNS:
        raise Unrecognised("a table has columns without a place")
    return list(memoryview(array.data).cast("q"))


def _row(values: Array, row: int, length: int) -> Column:
    """Return one of a block's rows, which are the columns of the table."""
    count, size = values.shape
    if size != length:
        raise Unrecognised("a table has columns of another length than its index")
    if values.objects is not None:
        return packed("d", [_number_or_nan(value) for value in values.objects[row * size : (row + 1) * size]])
    start, step = (row, count) if values.fortran else (row * size, 1)
    return Part(values.data, values.dtype, start, step, size)


def _number_or_nan(node: object) -> float:
    return float("nan") if node is None else number_of(node)


def index_of(node: object) -> Index:
    """Return the names of rows or columns."""
    kind, named = _parts(node)
    return _levels(named) if is_named(kind, MULTI) else _one_level(kind, named)


def _parts(node: object) -> tuple[object, dict[str, Any]]:
    """Return the class of an index, and what it is made of."""
    kind, parts = arguments_of(node, NEW_INDEX, 2)[:2]
    return kind, parts.by_text() if type(parts) is Pairs else {}


def _levels(named: dict[str, Any]) -> Index:
    levels, codes = named.get("levels"), named.get("codes")
    if type(levels) is not list or type(codes) is not list or not 0 < len(levels) == len(codes):
        raise Unrecognised("an index of several levels lacks one")
    arrays = [array_of(one) for one in codes]
    lengths = {array.size for array in arrays}
    if len(lengths) != 1:
        raise Unrecognised("an index has levels of different lengths")
    found: list[Column] = []
    for level, array in zip(levels, arrays, strict=True):
        values = _one_level(*_parts(level)).levels
        if not values or array.dtype not in ("|i1", "<i2", "<i4", "<i8"):
            raise Unrecognised("an index has a level without values")
        found.append(Coded(_all_of(array), values[0]))
    return Index(lengths.pop(), found)


def _one_level(kind: object, named: dict[str, Any]) -> Index:
    return _range(named) if is_named(kind, RANGE) else _flat(named.get("data"))


def _range(named: dict[str, Any]) -> Index:
    """Return an index of numbers that count: it names nothing."""
    start, stop, step = (whole(named.get(part)) for part in ("start", "stop", "step"))
    return Index(max(0, -(-(stop - start) // step)) if step else 0, [])


def _flat(data: object) -> Index:
    """Return an index of one level: times or texts."""
    if is_made_by(data, ARROW_TEXTS):
        texts = arrow_texts_of(data)
        return Index(len(texts), [texts])
    array = array_of(_inside(data))
    if array.dtype == OBJECTS:
        texts = [value for value in array.objects or () if type(value) is str]
        if len(texts) != array.size:
            raise Unrecognised("an index has something that is no text")
        return Index(len(texts), [texts])
    return Index(array.size, [_all_of(array)])


def _inside(data: object) -> object:
    """Return the array in one of pandas' own, of times without a zone or of texts."""
    if not is_made_by(data, BACKED):
        return data
    state = data.state if type(data) is Made else None
    if type(state) is not tuple or len(state) < 2:  # noqa: PLR2004
        raise Unrecognised("an index lacks its values")
    kind, values = state[:2]
    if not is_made_by(kind, TEXT_TYPE):
        dtype_of(kind)
    return values


def _all_of(array: Array) -> Part:
    if array.dtype not in SIZES:
        raise Unrecognised("an index has something that is no number")
    return Part(array.data, array.dtype, 0, 1, array.size)


def is_of_days(column: Column) -> bool:
    """Return whether these are times."""
    values = column.of if isinstance(column, Coded) else column
    return isinstance(values, Part) and values.dtype in TIMES


def is_of_texts(column: Column) -> bool:
    """Return whether these are texts."""
    values = column.of if isinstance(column, Coded) else column
    return isinstance(values, list)

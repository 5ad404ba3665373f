"""The state of processors that were fitted to train: `processors.json` beside the texts of a model.

A model predicts from features that were normalized by figures of its own train days. A run that keeps the
model restores them; with figures of other days it would predict otherwise. Every figure is written in
hexadecimal, to its last bit; one of a column that has no value in train is null. What another run wrote is
input: it is read within bounds, and whatever no fit gives is refused. Standard library only; knows nothing of
Qlib.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.training.trained import Unusable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROCESSORS: Final = "processors.json"
FITTED: Final[Mapping[str, tuple[str, str]]] = {
    "MinMaxNorm": ("min_val", "max_val"),
    "ZScoreNorm": ("mean_train", "std_train"),
    "RobustZScoreNorm": ("mean_train", "std_train"),
}
"""What each processor has learnt from train, by Qlib's names: where values lie, and how far they spread."""
FORMATS: Final[Mapping[str, str]] = {"float32": "<f", "float64": "<d"}
MOST_PROCESSORS: Final = 50
MOST_COLUMNS: Final = 10_000
LONGEST: Final = 1_000
"""Characters of a column's name, which may be a whole expression."""


@dataclass(frozen=True)
class ProcessorState:
    """What one processor has learnt from train."""

    kind: str
    dtype: str
    columns: Sequence[Sequence[str]]
    """The group and the name of each column."""
    figures: Mapping[str, Sequence[float]]
    """By Qlib's names, one for each column; NaN for a column without values."""

    @property
    def document(self) -> dict[str, object]:
        """Return it as JSON has it."""
        written = {
            name: [None if math.isnan(one) else one.hex() for one in values]
            for name, values in self.figures.items()
        }
        return {"class": self.kind, "dtype": self.dtype, "columns": self.columns, **written}

    @classmethod
    def read(cls, document: object) -> ProcessorState:
        """Return the state of one processor, or raise Unusable with what is wrong."""
        kind = document.get("class") if isinstance(document, dict) else None
        if not isinstance(document, dict) or not isinstance(kind, str) or kind not in FITTED:
            raise Unusable(f"{PROCESSORS} names no processor that is fitted")
        if set(document) != {"class", "dtype", "columns", *FITTED[kind]}:
            raise Unusable(f"{PROCESSORS} has other fields of {kind} than it needs")
        columns, dtype = document["columns"], document["dtype"]
        if not isinstance(dtype, str) or dtype not in FORMATS or not _are_columns(columns):
            raise Unusable(f"{PROCESSORS} has no columns of {kind}")
        figures = {
            name: _figures(document[name], f"{kind}.{name}", dtype, len(columns)) for name in FITTED[kind]
        }
        state = cls(kind, dtype, columns, figures)
        if not state._can_be_applied():
            raise Unusable(f"{PROCESSORS} has figures of {kind} that no fit gives")
        return state

    def _can_be_applied(self) -> bool:
        """Say whether no value is divided by zero; a column without values has neither figure."""
        place, spread = (self.figures[name] for name in FITTED[self.kind])
        least = place if self.kind == "MinMaxNorm" else [0.0] * len(spread)
        return all(
            math.isnan(one) == math.isnan(wide) and (math.isnan(one) or wide > low)
            for one, wide, low in zip(place, spread, least, strict=True)
        )


def read_states(document: Mapping[str, Any]) -> list[ProcessorState]:
    """Return the state of each fitted processor of features, in their order, or raise Unusable."""
    listed = document.get("processors")
    if document.keys() != {"processors"} or not isinstance(listed, list) or len(listed) > MOST_PROCESSORS:
        raise Unusable(f"{PROCESSORS} lists no processors")
    return [ProcessorState.read(one) for one in listed]


def document_of(states: Sequence[ProcessorState]) -> dict[str, object]:
    """Return the content of the file."""
    return {"processors": [state.document for state in states]}


def _are_columns(columns: object) -> bool:
    return isinstance(columns, list) and 0 < len(columns) <= MOST_COLUMNS and all(map(_is_column, columns))


def _is_column(column: object) -> bool:
    parts = column if isinstance(column, list) and column else [None]
    return len(parts) <= len(("group", "name")) and all(
        isinstance(part, str) and len(part) <= LONGEST for part in parts
    )


def _figures(values: object, where: str, dtype: str, count: int) -> list[float]:
    if not isinstance(values, list) or len(values) != count:
        raise Unusable(f"{PROCESSORS} has not one figure of {where} for each of {count} columns")
    return [_figure(value, where, dtype) for value in values]


def _figure(value: object, where: str, dtype: str) -> float:
    if value is None:
        return math.nan
    try:
        found = (
            float.fromhex(value) if isinstance(value, str) and value.startswith(("0x", "-0x")) else math.nan
        )
        kept: float = struct.unpack(FORMATS[dtype], struct.pack(FORMATS[dtype], found))[0]
    except (ValueError, OverflowError):
        kept = found = math.nan
    if kept != found or not math.isfinite(found):
        raise Unusable(f"{PROCESSORS} has a figure of {where} that is no finite {dtype}")
    return found

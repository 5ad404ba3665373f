"""One request for features: which columns, instruments and days, as positions in the dataset's calendar."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from qlib.config import C
from qlib.data import D
from qlib.data.data import Cal, DatasetProvider
from qlib.utils import code_to_fname

from qlib_shadow_runner.cache.key import MatrixIdentity
from qlib_shadow_runner.engine.expressions import Node, Unsupported, parse
from qlib_shadow_runner.engine.matrix import Universe

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from qlib.data.dataset.loader import QlibDataLoader

    from qlib_shadow_runner.engine.layout import Rows, Whole

LOCAL: Final[Mapping[str, object]] = {
    "calendar_provider": "LocalCalendarProvider",
    "instrument_provider": "LocalInstrumentProvider",
    "feature_provider": "LocalFeatureProvider",
    "expression_provider": "LocalExpressionProvider",
    "dataset_provider": "LocalDatasetProvider",
    "expression_cache": None,
    "dataset_cache": None,
    "custom_ops": [],
}
"""The only supported settings of Qlib: plain local files, no cache, no custom operators."""


@dataclass(frozen=True)
class FeatureColumn:
    """A column: its group, name and expression, and the parsed expression if the engine supports it."""

    group: str
    name: str
    expression: str
    node: Node | None


class FeatureRequest:
    """What a loader is asked for, in positions of the calendar."""

    def __init__(
        self,
        loader: QlibDataLoader,
        universe: Universe,
        listed_spans: Any,
        span: tuple[int, int],
        calendar: Any,
    ) -> None:
        self.universe, self.listed_spans, self.calendar = universe, listed_spans, calendar
        self.first, self.last = span
        self.columns = _columns(loader)
        self.since = self._since(loader)
        self.grouped = loader.is_group
        self.root = Path(C.dpm.get_data_uri("day"))
        if not any(column.node for column in self.columns):
            raise Unsupported("every expression")

    @classmethod
    def of(cls, loader: QlibDataLoader, instruments: Any, start: Any, end: Any) -> FeatureRequest:
        """Return the request, with instruments and days resolved by Qlib's own functions."""
        _require_plain(loader)
        days = Cal.calendar(start, end, freq="day")
        if len(days) == 0:
            raise Unsupported("a span without days")
        calendar = Cal.calendar(freq="day")
        _, _, first, last = Cal.locate_index(days[0], days[-1], freq="day", future=False)
        spans = _listed_spans(instruments, loader.filter_pipe)
        return cls(loader, _universe(spans, pd.DatetimeIndex(calendar)), spans, (first, last), calendar)

    def _since(self, loader: QlibDataLoader) -> int:
        """Return the first day of the rows; Qlib itself gives all that are computed."""
        asked = getattr(loader, "rows_from", None)
        if asked is None or not all(column.node for column in self.columns):
            return self.first
        since = int(np.searchsorted(np.asarray(self.calendar, "datetime64[s]"), np.datetime64(asked, "s")))
        return max(self.first, min(since, self.last))

    @property
    def is_part(self) -> bool:
        """Return whether the rows are only those of the last days."""
        return self.since > self.first

    @property
    def family(self) -> dict[str, str]:
        """Return what a matrix must have in common with this one to be reused by it."""
        return {"family": self.identity.family(), "calendar": self.calendar_until(self.last)}

    def calendar_until(self, last: int) -> str:
        """Return the hash of the calendar up to a day."""
        days = np.asarray(self.calendar[: last + 1], "datetime64[s]")
        return hashlib.sha256(days.tobytes()).hexdigest()

    @property
    def identity(self) -> MatrixIdentity:
        """Return everything that the values depend on."""
        columns = tuple((column.group, column.name, column.expression) for column in self.columns)
        since = self.since if self.is_part else None
        return MatrixIdentity(self.root, self.universe, (self.first, self.last), columns, since)

    @property
    def keys(self) -> list[str]:
        """Return the keys of the matrices that have the rows: the one that is asked for, and the whole."""
        identity = self.identity
        return [
            one.key() for one in ([identity, replace(identity, since=None)] if self.is_part else [identity])
        ]

    def index(self, rows: Rows) -> pd.MultiIndex:
        """Return the rows' index as Qlib makes it."""
        days, day_codes = _levels(rows.days)
        symbols, symbol_codes = _levels(rows.instruments)
        return pd.MultiIndex(
            levels=[
                pd.Index(self.calendar[days]),
                pd.Index([self.universe.symbols[number] for number in symbols]),
            ],
            codes=[day_codes, symbol_codes],  # type: ignore[list-item]
            names=["datetime", "instrument"],
            verify_integrity=False,
        )

    def frame(self, index: pd.MultiIndex, matrix: npt.NDArray[np.float32]) -> pd.DataFrame:
        """Return Qlib's frame over the matrix, without a copy of it."""
        return pd.DataFrame(matrix.T, index=index, columns=self._names(), copy=False)

    def by_qlib(self, loader: QlibDataLoader, column: FeatureColumn) -> pd.DataFrame:
        """Return one column, computed by Qlib."""
        first, last = self.calendar[self.first], self.calendar[self.last]
        names = [column.expression], [column.name]
        found: pd.DataFrame = loader.load_group_df(self.listed_spans, *names, first, last, column.group)
        return found

    def _names(self) -> pd.Index:
        if self.grouped:
            return pd.MultiIndex.from_tuples([(column.group, column.name) for column in self.columns])
        return pd.Index([column.name for column in self.columns])


def _columns(loader: QlibDataLoader) -> list[FeatureColumn]:
    groups = loader.fields if loader.is_group else {"": loader.fields}
    return [
        FeatureColumn(group, name, str(expression), _parse_if_supported(str(expression)))
        for group, (expressions, names) in groups.items()
        for expression, name in zip(expressions, names, strict=True)
    ]


def _parse_if_supported(expression: str) -> Node | None:
    try:
        return parse(expression)
    except Unsupported:
        return None


def _require_plain(loader: QlibDataLoader) -> None:
    if loader.freq != "day" or loader.inst_processors or not loader.swap_level:
        raise Unsupported("a frequency, processors of instruments or an order of levels of its own")
    for name, value in LOCAL.items():
        if C.get(name, value) != value:
            raise Unsupported(f"Qlib's setting {name}")


def _levels(positions: Whole) -> tuple[Whole, Whole]:
    """Return the distinct positions in order, and the number of each position among them, without sorting."""
    occurs = np.bincount(positions) > 0
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[positions]


def _listed_spans(instruments: Any, filter_pipe: Any) -> Any:
    if instruments is None or isinstance(instruments, str):
        instruments = D.instruments(instruments or "all", filter_pipe=filter_pipe)
    return DatasetProvider.get_instruments_d(instruments, "day")


def _universe(listed_spans: Any, calendar: pd.DatetimeIndex) -> Universe:
    symbols = tuple(sorted(set(listed_spans)))
    folders = tuple(code_to_fname(symbol).lower() for symbol in symbols)
    if not isinstance(listed_spans, dict):
        return Universe(symbols, folders, None)
    spans = tuple(
        tuple(
            (
                int(calendar.searchsorted(pd.Timestamp(listed), side="left")),
                int(calendar.searchsorted(pd.Timestamp(delisted), side="right")) - 1,
            )
            for listed, delisted in listed_spans[symbol]
        )
        for symbol in symbols
    )
    return Universe(symbols, folders, spans)

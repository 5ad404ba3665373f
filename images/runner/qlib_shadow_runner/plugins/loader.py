"""Qlib's loader, computing all instruments at once; what it does not understand is left to Qlib, and told.

Named in a workflow by class path, or given by `handler`. Calendar, universes and filters are Qlib's own; the
values are of `matrix`, or of the cache where one is named. Loaded by qrun; knows Qlib.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from qlib.config import C
from qlib.data import D
from qlib.data.data import Cal, DatasetProvider
from qlib.data.dataset import loader
from qlib.utils import code_to_fname

from qlib_shadow_runner.cache.key import MatrixIdentity
from qlib_shadow_runner.cache.matrices import MatrixDraft, MatrixStore
from qlib_shadow_runner.cache.store import NOT_KEPT
from qlib_shadow_runner.engine.expressions import Node, Unsupported, parse
from qlib_shadow_runner.engine.growth import Growth, describe, grow, match_previous
from qlib_shadow_runner.engine.layout import Rows
from qlib_shadow_runner.engine.matrix import ExpressionMatrix, Universe
from qlib_shadow_runner.engine.memory import RunningMemory, Unsettled
from qlib_shadow_runner.plugins.feature_stats import FeatureStats
from qlib_shadow_runner.process.limits import read_limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from qlib_shadow_runner.engine.layout import Whole

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
"""Qlib's settings that are understood here: plain files, and nothing in between."""


@dataclass(frozen=True)
class FeatureColumn:
    """One column: its group and name, its expression, and the tree of it, if it is understood."""

    group: str
    name: str
    expression: str
    node: Node | None


class QlibDataLoader(loader.QlibDataLoader):  # type: ignore[misc]
    """Qlib's loader with the same arguments and the same frames."""

    feature_stats: FeatureStats
    """What became of the last request."""

    def load(self, instruments: Any = None, start_time: Any = None, end_time: Any = None) -> pd.DataFrame:
        """Load as Qlib does."""
        began, report = time.perf_counter(), FeatureStats()
        self.feature_stats = report
        try:
            frame = self._load(FeatureRequest.of(self, instruments, start_time, end_time), report)
        except Unsupported as why:
            report.all_by_qlib = str(why)
            frame = super().load(instruments, start_time, end_time)
        report.close(frame.shape, time.perf_counter() - began)
        return frame

    def _load(self, request: FeatureRequest, report: FeatureStats) -> pd.DataFrame:
        cache = MatrixStore.from_environ()
        key = request.identity.key() if cache else ""
        stored = cache.find(key) if cache else None
        if stored:
            report.cache = "taken from the cache"
            report.columns_by_qlib = [column.name for column in request.columns if column.node is None]
            return request.frame(request.index(Rows(stored.days, stored.instruments)), stored.matrix)
        computation = FeatureComputation(self, request, report, cache.begin(key) if cache else None)
        try:
            frame = computation.frame(cache)
        except BaseException:
            computation.discard()
            raise
        if cache:
            report.cache = computation.keep(cache)
        return frame


class FeatureRequest:
    """What a loader was asked for, in the calendar's places."""

    def __init__(
        self, by: QlibDataLoader, universe: Universe, listed_spans: Any, span: tuple[int, int], calendar: Any
    ) -> None:
        self.universe, self.listed_spans, self.calendar = universe, listed_spans, calendar
        self.first, self.last = span
        self.columns = _columns(by)
        self.grouped = by.is_group
        self.root = Path(C.dpm.get_data_uri("day"))
        if not any(column.node for column in self.columns):
            raise Unsupported("every expression")

    @classmethod
    def of(cls, by: QlibDataLoader, instruments: Any, start: Any, end: Any) -> FeatureRequest:
        """Resolve the instruments and the days, by Qlib's own means."""
        _require_plain(by)
        days = Cal.calendar(start, end, freq="day")
        if len(days) == 0:
            raise Unsupported("a span without days")
        calendar = Cal.calendar(freq="day")
        _, _, first, last = Cal.locate_index(days[0], days[-1], freq="day", future=False)
        listed_spans = _listed_spans(instruments, by.filter_pipe)
        return cls(
            by, _universe(listed_spans, pd.DatetimeIndex(calendar)), listed_spans, (first, last), calendar
        )

    @property
    def family(self) -> dict[str, str]:
        """Say what an answer that goes on from this one has in common with it."""
        return {"family": self.identity.family(), "calendar": self.calendar_until(self.last)}

    def calendar_until(self, last: int) -> str:
        """Hash the calendar up to a day."""
        days = np.asarray(self.calendar[: last + 1], "datetime64[s]")
        return hashlib.sha256(days.tobytes()).hexdigest()

    @property
    def identity(self) -> MatrixIdentity:
        """Give all that the values follow from."""
        columns = tuple((column.group, column.name, column.expression) for column in self.columns)
        return MatrixIdentity(self.root, self.universe, (self.first, self.last), columns)

    def index(self, rows: Rows) -> pd.MultiIndex:
        """Name the rows as Qlib does."""
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
        """Make Qlib's frame of rows and columns, without copying them."""
        return pd.DataFrame(matrix.T, index=index, columns=self._names(), copy=False)

    def by_qlib(self, by: QlibDataLoader, column: FeatureColumn) -> pd.DataFrame:
        """Let Qlib compute one column."""
        first, last = self.calendar[self.first], self.calendar[self.last]
        names = [column.expression], [column.name]
        found: pd.DataFrame = by.load_group_df(self.listed_spans, *names, first, last, column.group)
        return found

    def _names(self) -> pd.Index:
        if self.grouped:
            return pd.MultiIndex.from_tuples([(column.group, column.name) for column in self.columns])
        return pd.Index([column.name for column in self.columns])


class FeatureComputation:
    """Computes what was asked for; the rest by Qlib."""

    def __init__(
        self, by: QlibDataLoader, request: FeatureRequest, report: FeatureStats, draft: MatrixDraft | None
    ) -> None:
        self._by, self._request, self._report, self._draft = by, request, report, draft
        self._expression_matrix = ExpressionMatrix(
            request.root, request.universe, request.first, request.last
        )
        self._nodes = [column.node for column in request.columns if column.node]
        self._memory: RunningMemory | None = None

    def frame(self, cache: MatrixStore | None = None) -> pd.DataFrame:
        """Compute the whole frame."""
        rows = self._expression_matrix.rows(self._nodes)
        if not len(rows.days):
            raise Unsupported("days on which nothing is listed")
        growth = self._growth(cache, rows) if cache else None
        # Once an earlier matrix is open it may go, and make room.
        matrix = self._room(rows, len(self._request.columns))
        self._fill(rows, matrix, growth)
        index = self._request.index(rows)
        self._add_columns_of_qlib(index, matrix)
        if self._draft and self._draft.shape:
            matrix = self._draft.read_only()
        return self._with_instruments_of_qlib(self._request.frame(index, matrix))

    def keep(self, cache: MatrixStore) -> str:
        """Keep what was computed, and what is needed to go on from there, if the data are what they were."""
        if not self._draft or not self._memory:
            return NOT_KEPT
        if self._request.identity.key() != self._draft.key:
            cache.warn_not_kept(ValueError("somebody wrote to the dataset meanwhile"))
            self.discard()
            return NOT_KEPT
        about = describe(self._expression_matrix.inputs(self._nodes), self._memory, self._request.last)
        self._draft.about, self._draft.memory = {**about, **self._request.family}, self._memory.kept
        return cache.keep(self._draft)

    def discard(self) -> None:
        """Leave nothing half made."""
        if self._draft:
            self._draft.discard()

    def _growth(self, cache: MatrixStore, rows: Rows) -> Growth | None:
        """Find what was computed before the dataset had its last days."""
        if self._expression_matrix.irregular:
            return None
        inputs, request = self._expression_matrix.inputs(self._nodes), self._request
        ahead = max(node.ahead for node in self._nodes)
        for key, about in cache.older(request.identity.family(), request.last, request.universe.symbols):
            same_days = about["calendar"] == request.calendar_until(about["last"])
            before = match_previous(about, inputs, ahead) if same_days else None
            stored = cache.find(key) if before else None
            growth = grow(stored, before, rows, request.last) if before and stored else None
            if growth:
                return growth
        return None

    def _fill(self, rows: Rows, matrix: npt.NDArray[np.float32], growth: Growth | None) -> None:
        numbers = [number for number, column in enumerate(self._request.columns) if column.node]
        ours, threads = [matrix[number] for number in numbers], read_limits().threads
        if growth:
            growth.copy(numbers, matrix, threads)
        try:
            self._memory = self._expression_matrix.fill(self._nodes, rows, ours, threads, growth)
        except Unsettled:
            self._memory = self._expression_matrix.fill(self._nodes, rows, ours, threads)
        else:
            self._report.add_growth(growth)

    def _room(self, rows: Rows, columns: int) -> npt.NDArray[np.float32]:
        # What has instruments of Qlib's in it is made of two frames, and not kept.
        if self._draft and not self._expression_matrix.irregular:
            found = self._draft.room(rows.days, rows.instruments, columns)
            if found is not None:
                return found
        return np.empty((columns, len(rows.days)), np.float32)

    def _add_columns_of_qlib(self, index: pd.Index, matrix: npt.NDArray[np.float32]) -> None:
        for number, column in enumerate(self._request.columns):
            if column.node is None:
                found = self._request.by_qlib(self._by, column)
                if not found.index.isin(index).all():
                    raise Unsupported(f"{column.expression}, whose rows are others")
                matrix[number] = found.reindex(index).to_numpy()[:, 0]
                self._report.columns_by_qlib.append(column.name)

    def _with_instruments_of_qlib(self, frame: pd.DataFrame) -> pd.DataFrame:
        symbols = self._expression_matrix.irregular
        if not symbols:
            return frame
        self._report.instruments_by_qlib = symbols
        listed_spans = self._request.listed_spans
        these = (
            {symbol: listed_spans[symbol] for symbol in symbols}
            if isinstance(listed_spans, dict)
            else symbols
        )
        calendar = self._request.calendar
        theirs = loader.QlibDataLoader.load(
            self._by, these, calendar[self._request.first], calendar[self._request.last]
        )
        whole: pd.DataFrame = pd.concat([frame, theirs]).sort_index()
        return whole


def _columns(by: QlibDataLoader) -> list[FeatureColumn]:
    groups = by.fields if by.is_group else {"": by.fields}
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


def _require_plain(by: QlibDataLoader) -> None:
    if by.freq != "day" or by.inst_processors or not by.swap_level:
        raise Unsupported("a frequency, processors of instruments or an order of levels of its own")
    for name, value in LOCAL.items():
        if C.get(name, value) != value:
            raise Unsupported(f"Qlib's setting {name}")


def _levels(places: Whole) -> tuple[Whole, Whole]:
    """Give the places that occur, in order, and each one's number among them; nothing is sorted for it."""
    occurs = np.bincount(places) > 0
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[places]


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

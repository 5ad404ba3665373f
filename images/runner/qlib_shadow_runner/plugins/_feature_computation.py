"""Computes a request's frame: by the array engine, from an earlier matrix, and the rest by Qlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from qlib.data.dataset import loader as qlibs

from qlib_shadow_runner.cache.store import NOT_KEPT
from qlib_shadow_runner.engine.expressions import Unsupported
from qlib_shadow_runner.engine.growth import Growth, MatrixPart, describe, grow, match_previous
from qlib_shadow_runner.engine.matrix import ExpressionMatrix
from qlib_shadow_runner.engine.memory import Unsettled
from qlib_shadow_runner.printing import print_error
from qlib_shadow_runner.process.limits import read_limits

if TYPE_CHECKING:
    import numpy.typing as npt

    from qlib_shadow_runner.cache.content import Content
    from qlib_shadow_runner.cache.matrices import MatrixDraft, MatrixStore
    from qlib_shadow_runner.engine.layout import Rows
    from qlib_shadow_runner.engine.memory import RunningMemory
    from qlib_shadow_runner.plugins._feature_request import FeatureRequest
    from qlib_shadow_runner.plugins._feature_stats import FeatureStats


class FeatureComputation:
    """One computation of a request, into a draft of the cache where there is one."""

    def __init__(
        self,
        loader: qlibs.QlibDataLoader,
        request: FeatureRequest,
        stats: FeatureStats,
        draft: MatrixDraft | None,
    ) -> None:
        self._loader, self._request, self._stats, self._draft = loader, request, stats, draft
        self._engine = ExpressionMatrix(request.root, request.universe, request.first, request.last)
        self._nodes = [column.node for column in request.columns if column.node]
        self._memory: RunningMemory | None = None
        self._made: tuple[Rows, npt.NDArray[np.float32], Growth | None] | None = None
        """The rows and values of a part, and what of them an earlier matrix gave."""

    def frame(self, store: MatrixStore | None = None) -> pd.DataFrame:
        """Return the whole frame."""
        rows = self._engine.rows(self._nodes).since(self._request.since)
        if not len(rows.days):
            raise Unsupported("days on which nothing is listed")
        growth = self._growth(store, rows) if store else None
        # The earlier matrix is open by now, so that making room may remove its files.
        matrix = self._room(rows, len(self._request.columns))
        self._fill(rows, matrix, growth)
        index = self._request.index(rows)
        self._add_columns_of_qlib(index, matrix)
        if self._draft and self._draft.shape:
            matrix = self._draft.read_only()
        return self._with_instruments_of_qlib(self._request.frame(index, matrix))

    def keep(self, store: MatrixStore) -> str:
        """Publish the matrix unless the dataset has changed meanwhile; return `KEPT` or `NOT_KEPT`."""
        if not self._draft or not self._memory:
            return NOT_KEPT
        if self._request.identity.key() != self._draft.key:
            store.warn_not_kept(ValueError("the dataset was changed meanwhile"))
            self.discard()
            return NOT_KEPT
        about = describe(self._engine.inputs(self._nodes), self._memory, self._request.last)
        since = {"since": self._request.since} if self._request.is_part else {}
        self._draft.about = {**about, **since, **self._request.family}
        self._draft.memory = self._memory.kept
        return self._keep_part(store, *self._made) if self._made else store.keep(self._draft)

    def _keep_part(
        self, store: MatrixStore, rows: Rows, matrix: npt.NDArray[np.float32], growth: Growth | None
    ) -> str:
        """Keep what an earlier matrix lacks of the rows of the last days, in the place of what it added."""
        assert self._draft is not None, "there is one where a part is kept"
        part = growth.part(rows, matrix) if growth else MatrixPart(rows.days, rows.instruments, matrix)
        kept = store.keep(self._draft, part)
        if growth and kept is not NOT_KEPT:
            store.replace(growth.stored)
        return kept

    def discard(self) -> None:
        """Remove the incomplete draft."""
        if self._draft:
            self._draft.discard()

    def _growth(self, store: MatrixStore, rows: Rows) -> Growth | None:
        """Return what an earlier matrix gives, computed before the dataset had its last days."""
        if self._engine.irregular:
            return None
        request = self._request
        since = request.since if request.is_part else 0
        older = store.older(request.identity.family(), request.last, request.universe.symbols, since)
        for key, about in older:
            try:
                growth = self._growth_from(store, key, about, rows)
            except (ValueError, LookupError, TypeError, OverflowError) as error:  # another run wrote it
                print_error(f"warning: the features kept as {key} cannot be continued ({error}).")
                continue
            if growth:
                return growth
        return None

    def _growth_from(self, store: MatrixStore, key: str, about: Content, rows: Rows) -> Growth | None:
        inputs, request = self._engine.inputs(self._nodes), self._request
        ahead = max(node.ahead for node in self._nodes)
        same_days = about["calendar"] == request.calendar_until(about["last"])
        previous = match_previous(about, inputs, ahead) if same_days else None
        since = request.since if request.is_part else 0
        stored = store.find(key, since) if previous else None
        if stored and stored.columns != len(request.columns):
            raise ValueError(f"it has {stored.columns} columns")
        return grow(stored, previous, rows, request.last) if previous and stored else None

    def _fill(self, rows: Rows, matrix: npt.NDArray[np.float32], growth: Growth | None) -> None:
        numbers = [number for number, column in enumerate(self._request.columns) if column.node]
        columns, threads = [matrix[number] for number in numbers], read_limits().threads
        if growth:
            growth.copy(numbers, matrix, threads)
        try:
            self._memory = self._engine.fill(self._nodes, rows, columns, threads, growth)
        except Unsettled:
            self._memory, growth = self._engine.fill(self._nodes, rows, columns, threads), None
        else:
            self._stats.add_growth(growth)
        if self._request.is_part and not self._engine.irregular:
            self._made = rows, matrix, growth

    def _room(self, rows: Rows, columns: int) -> npt.NDArray[np.float32]:
        # With instruments that Qlib computes, the frame is concatenated from two, and is not kept.
        if self._draft and not self._engine.irregular and not self._request.is_part:
            found = self._draft.room(rows.days, rows.instruments, columns)
            if found is not None:
                return found
        return np.empty((columns, len(rows.days)), np.float32)

    def _add_columns_of_qlib(self, index: pd.Index, matrix: npt.NDArray[np.float32]) -> None:
        for number, column in enumerate(self._request.columns):
            if column.node is None:
                found = self._request.by_qlib(self._loader, column)
                if not found.index.isin(index).all():
                    raise Unsupported(f"{column.expression}, whose rows are others")
                matrix[number] = found.reindex(index).to_numpy()[:, 0]
                self._stats.columns_by_qlib.append(column.name)

    def _with_instruments_of_qlib(self, frame: pd.DataFrame) -> pd.DataFrame:
        symbols = self._engine.irregular
        if not symbols:
            return frame
        self._stats.instruments_by_qlib = symbols
        spans, calendar = self._request.listed_spans, self._request.calendar
        instruments = {symbol: spans[symbol] for symbol in symbols} if isinstance(spans, dict) else symbols
        by_qlib = qlibs.QlibDataLoader.load(
            self._loader, instruments, calendar[self._request.first], calendar[self._request.last]
        )
        by_qlib = by_qlib[by_qlib.index.get_level_values("datetime") >= calendar[self._request.since]]
        whole: pd.DataFrame = pd.concat([frame, by_qlib]).sort_index()
        return whole

"""Qlib's loader over the array engine: all instruments at once, with a cache where one is configured.

The handlers of `handlers` put it in the place of Qlib's. Calendar, universes and filters are Qlib's own. What
the array engine does not support is left to Qlib, and the log says so.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qlib.data.dataset import loader

from qlib_shadow_runner.cache.matrices import MatrixStore
from qlib_shadow_runner.engine.expressions import Unsupported
from qlib_shadow_runner.engine.layout import Rows
from qlib_shadow_runner.plugins._feature_computation import FeatureComputation
from qlib_shadow_runner.plugins._feature_request import FeatureRequest
from qlib_shadow_runner.plugins._feature_stats import FeatureStats
from qlib_shadow_runner.process.limits import read_limits

if TYPE_CHECKING:
    import pandas as pd


class QlibDataLoader(loader.QlibDataLoader):  # type: ignore[misc]
    """Qlib's loader with the same arguments and the same frames."""

    feature_stats: FeatureStats
    """The statistics of the last request."""
    rows_from: pd.Timestamp | None = None
    """The first day whose rows are returned; None for all that are computed."""

    def load(self, instruments: Any = None, start_time: Any = None, end_time: Any = None) -> pd.DataFrame:
        """Return the frame that Qlib's loader returns."""
        began, stats = time.perf_counter(), FeatureStats()
        self.feature_stats = stats
        try:
            frame = self._load(FeatureRequest.of(self, instruments, start_time, end_time), stats)
        except Unsupported as what:
            stats.all_by_qlib = str(what)
            frame = super().load(instruments, start_time, end_time)
        stats.close(frame.shape, time.perf_counter() - began)
        return frame

    def _load(self, request: FeatureRequest, stats: FeatureStats) -> pd.DataFrame:
        store = MatrixStore.from_environ()
        keys = request.keys if store else [""]
        stored = next(filter(None, (store.find(key, request.since) for key in keys)), None) if store else None
        if stored:
            stats.cache = "taken from the cache"
            stats.columns_by_qlib = [column.name for column in request.columns if column.node is None]
            index = request.index(Rows(stored.days, stored.instruments))
            return request.frame(index, stored.matrix(read_limits().threads))
        computation = FeatureComputation(self, request, stats, store.begin(keys[0]) if store else None)
        try:
            frame = computation.frame(store)
        except BaseException:
            computation.discard()
            raise
        if store:
            stats.cache = computation.keep(store)
        return frame

"""Training data without Qlib's copies: processed labels beside the features, which stay where they are.

Qlib copies all features to drop the rows without a label and to scale the labels. Where no learn processor
does more, the processors get the labels alone, and each segment takes its features when they are requested.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from qlib.data.dataset import processor
from qlib.data.dataset.handler import DataHandler
from qlib.data.dataset.storage import BaseHandlerStorage
from qlib.data.dataset.utils import fetch_df_by_col, fetch_df_by_index

from qlib_shadow_runner.engine.layout import release_pages
from qlib_shadow_runner.plugins import processors
from qlib_shadow_runner.process.limits import read_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Positions = npt.NDArray[np.int64]

LABEL: Final = "label"
ROW: Final = ("", "row")
"""A column beside the labels: the number of each row in the whole frame."""
GROUP_ONLY_STEPS: Final = frozenset(
    {
        processor.DropnaLabel,
        processor.DropnaProcessor,
        processor.CSZScoreNorm,
        processor.CSRankNorm,
        processors.CSZScoreNorm,
    }
)
"""Processors that read only the column groups they are given, and do nothing to rows but drop them."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Features by columns, the numbers of the rows to train on, and the label of each such row."""

    features: Floats
    rows: Positions
    labels: Floats

    def digest(self) -> str:
        """Return the hash of every value, a column at a time, on all cores."""
        with ThreadPoolExecutor(read_limits().threads) as pool:
            columns = list(pool.map(lambda column: _hash(self._take_rows(column)), self.features))
        parts = [f"{self.features.dtype} {len(self.rows)}".encode(), *columns, _hash(self.labels)]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def table(self) -> Floats:
        """Return a copy of the features of these rows, stored by columns."""
        table = np.empty((len(self.features), len(self.rows)), self.features.dtype)
        for number, column in enumerate(self.features):
            table[number] = self._take_rows(column)
        return table.T

    def _take_rows(self, column: Floats) -> Floats:
        found: Floats = column.take(self.rows)
        release_pages(column)
        return found


@dataclass(frozen=True, eq=False)
class LazyTrainingFrame(BaseHandlerStorage):  # type: ignore[misc]
    """A frame of features and labels, of which only the requested part is put together."""

    whole: pd.DataFrame
    """Features and labels before the learn processors."""
    labels: pd.DataFrame
    """The labels after them, and each row's number in the whole frame."""

    @cached_property
    def _matrix(self) -> Floats:
        return self.whole.to_numpy().T

    def fetch(
        self,
        selector: Any = slice(None),
        level: str | int = "datetime",
        col_set: Any = DataHandler.CS_ALL,
        fetch_orig: bool = True,  # noqa: FBT001, FBT002 - Qlib's signature
    ) -> pd.DataFrame:
        """Return rows and column groups, as Qlib does of a frame."""
        found: pd.DataFrame
        rows = fetch_df_by_index(self.labels, selector, level, fetch_orig)
        if not isinstance(rows, pd.DataFrame) or rows.index.nlevels != self.labels.index.nlevels:
            found = fetch_df_by_index(fetch_df_by_col(self.frame(), col_set), selector, level, fetch_orig)
        else:
            found = fetch_df_by_col(self._frame(rows, _groups(self.whole.columns, col_set)), col_set)
        return found

    def frame(self) -> pd.DataFrame:
        """Return the whole frame."""
        return self._frame(self.labels, self.whole.columns)

    def head(self) -> pd.DataFrame:
        """Return the first rows."""
        return self._frame(self.labels.head(), self.whole.columns)

    def training_data(self, span: slice) -> TrainingData | None:
        """Return the training data of a span of days; None unless there is exactly one label."""
        rows = fetch_df_by_index(self.labels, span, "datetime")
        labels = rows[[name for name in rows.columns if name != ROW]].to_numpy()
        features = self.whole.columns.get_loc("feature")
        if labels.shape[1] != 1 or not isinstance(features, slice):
            return None
        return TrainingData(self._matrix[features], rows[ROW].to_numpy(), labels[:, 0])

    def _frame(self, rows: pd.DataFrame, columns: pd.Index) -> pd.DataFrame:
        numbers = rows[ROW].to_numpy()
        found = np.empty((len(columns), len(rows)), self._matrix.dtype)
        for number, column in enumerate(columns):
            if column in rows.columns:
                found[number] = rows[column].to_numpy()
            else:
                self._matrix[self.whole.columns.get_loc(column)].take(numbers, out=found[number])
        return pd.DataFrame(found.T, index=rows.index, columns=columns, copy=False)


def _hash(values: Floats) -> bytes:
    contiguous = np.ascontiguousarray(values)
    return hashlib.sha256(contiguous.view(np.uint8).data).digest()


def use_labels_only(steps: Sequence[Any]) -> bool:
    """Return whether there are learn processors and none of them reads a feature."""
    return bool(steps) and all(
        type(step) in GROUP_ONLY_STEPS and step.fields_group in (LABEL, [LABEL]) for step in steps
    )


def has_separable_labels(frame: pd.DataFrame) -> bool:
    """Return whether the columns are groups with a label and features, all of one float type."""
    columns = frame.columns
    if not isinstance(columns, pd.MultiIndex) or columns.nlevels != 2 or not columns.is_unique:  # noqa: PLR2004
        return False
    one_type = len(set(frame.dtypes)) == 1 and frame.dtypes.iloc[0].kind == "f"
    return one_type and {LABEL, "feature"} <= set(columns.get_level_values(0))


def labels_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a copy of the labels, with the number of each row."""
    labels = frame.loc[:, [LABEL]].copy()
    labels[ROW] = np.arange(len(frame))
    return labels


def features_without_copy(frame: pd.DataFrame, days: slice) -> tuple[Floats, pd.Index] | None:
    """Return a view of the features of some days, and their rows; None where they are not contiguous."""
    index, columns = frame.index, frame.columns
    if not isinstance(index, pd.MultiIndex) or not isinstance(columns, pd.MultiIndex):
        return None
    by_day = index.names[0] == "datetime" and index.is_monotonic_increasing
    by_day = by_day and index.levels[0].is_monotonic_increasing
    features = columns.get_loc("feature") if "feature" in columns.levels[0] else None
    if not by_day or not isinstance(features, slice):
        return None
    values = frame.to_numpy()
    if not np.may_share_memory(values, frame.iloc[:, features.start].to_numpy()):
        return None
    among = index.levels[0].slice_indexer(days.start, days.stop)
    begin, end = np.searchsorted(index.codes[0], [among.start, among.stop])
    return values[begin:end, features], index[begin:end]


def _groups(columns: pd.Index, col_set: Any) -> pd.Index:
    if col_set in (DataHandler.CS_ALL, DataHandler.CS_RAW):
        return columns
    requested = [col_set] if isinstance(col_set, str) else list(col_set)
    found = columns.get_level_values(0).isin(requested)
    return columns[found] if found.any() else columns

"""What a model learns from: the labels that the steps of learning left, and features that nobody copied.

Qlib copies all features to drop the rows without a label and to scale the labels. Where no step does more,
the steps get the labels alone; the features stay where they are, of which each segment takes its own when
it is asked for. Loaded by qrun; knows Qlib.
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
    Places = npt.NDArray[np.int64]

LABEL: Final = "label"
ROW: Final = ("", "row")
"""A column beside the labels, by which rows are known again."""
GROUP_ONLY_STEPS: Final = frozenset(
    {
        processor.DropnaLabel,
        processor.DropnaProcessor,
        processor.CSZScoreNorm,
        processor.CSRankNorm,
        processors.CSZScoreNorm,
    }
)
"""Steps that look at nothing but the groups that they are given, and at most leave rows out."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Features by columns, the rows of them that count, and what is to be foreseen for each."""

    features: Floats
    rows: Places
    labels: Floats

    def digest(self) -> str:
        """Hash every byte of it, a column at a time, on all cores."""
        with ThreadPoolExecutor(read_limits().threads) as pool:
            columns = list(pool.map(lambda column: _hash(self._take_rows(column)), self.features))
        parts = [f"{self.features.dtype} {len(self.rows)}".encode(), *columns, _hash(self.labels)]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def table(self) -> Floats:
        """Give all features, in an array of its own whose columns lie together."""
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
    """A frame of features and labels that is put together where somebody asks for a part of it."""

    whole: pd.DataFrame
    """As it was before the steps."""
    labels: pd.DataFrame
    """The labels after them, and each row's number in the whole."""

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
        """Give rows and groups of columns, as Qlib does of a frame."""
        found: pd.DataFrame
        rows = fetch_df_by_index(self.labels, selector, level, fetch_orig)
        if not isinstance(rows, pd.DataFrame) or rows.index.nlevels != self.labels.index.nlevels:
            found = fetch_df_by_index(fetch_df_by_col(self.frame(), col_set), selector, level, fetch_orig)
        else:
            found = fetch_df_by_col(self._frame(rows, _groups(self.whole.columns, col_set)), col_set)
        return found

    def frame(self) -> pd.DataFrame:
        """Give all of it."""
        return self._frame(self.labels, self.whole.columns)

    def head(self) -> pd.DataFrame:
        """Give the first rows."""
        return self._frame(self.labels.head(), self.whole.columns)

    def training_data(self, span: slice) -> TrainingData | None:
        """Give what there is to learn from these days, if there is one label."""
        rows = fetch_df_by_index(self.labels, span, "datetime")
        labels = rows[[name for name in rows.columns if name != ROW]].to_numpy()
        features = self.whole.columns.get_loc("feature")
        if labels.shape[1] != 1 or not isinstance(features, slice):
            return None
        return TrainingData(self._matrix[features], rows[ROW].to_numpy(), labels[:, 0])

    def _frame(self, rows: pd.DataFrame, columns: pd.Index) -> pd.DataFrame:
        places = rows[ROW].to_numpy()
        found = np.empty((len(columns), len(rows)), self._matrix.dtype)
        for number, column in enumerate(columns):
            if column in rows.columns:
                found[number] = rows[column].to_numpy()
            else:
                self._matrix[self.whole.columns.get_loc(column)].take(places, out=found[number])
        return pd.DataFrame(found.T, index=rows.index, columns=columns, copy=False)


def _hash(values: Floats) -> bytes:
    contiguous = np.ascontiguousarray(values)
    return hashlib.sha256(contiguous.view(np.uint8).data).digest()


def use_labels_only(steps: Sequence[Any]) -> bool:
    """Say whether no step needs to see a feature."""
    return bool(steps) and all(
        type(step) in GROUP_ONLY_STEPS and step.fields_group in (LABEL, [LABEL]) for step in steps
    )


def has_separable_labels(frame: pd.DataFrame) -> bool:
    """Say whether labels can be told from features, and all are floats of one kind."""
    columns = frame.columns
    if not isinstance(columns, pd.MultiIndex) or columns.nlevels != 2 or not columns.is_unique:  # noqa: PLR2004
        return False
    one_kind = len(set(frame.dtypes)) == 1 and frame.dtypes.iloc[0].kind == "f"
    return one_kind and {LABEL, "feature"} <= set(columns.get_level_values(0))


def labels_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Copy the labels, and number the rows."""
    labels = frame.loc[:, [LABEL]].copy()
    labels[ROW] = np.arange(len(frame))
    return labels


def features_without_copy(frame: pd.DataFrame, days: slice) -> tuple[Floats, pd.Index] | None:
    """Give some days' features where they lie, and their rows, if they lie together."""
    index, columns = frame.index, frame.columns
    if not isinstance(index, pd.MultiIndex) or not isinstance(columns, pd.MultiIndex):
        return None
    in_days = index.names[0] == "datetime" and index.is_monotonic_increasing
    in_days = in_days and index.levels[0].is_monotonic_increasing
    place = columns.get_loc("feature") if "feature" in columns.levels[0] else None
    if not in_days or not isinstance(place, slice):
        return None
    values = frame.to_numpy()
    if not np.may_share_memory(values, frame.iloc[:, place.start].to_numpy()):
        return None
    among = index.levels[0].slice_indexer(days.start, days.stop)
    begin, end = np.searchsorted(index.codes[0], [among.start, among.stop])
    return values[begin:end, place], index[begin:end]


def _groups(columns: pd.Index, col_set: Any) -> pd.Index:
    if col_set in (DataHandler.CS_ALL, DataHandler.CS_RAW):
        return columns
    asked = [col_set] if isinstance(col_set, str) else list(col_set)
    found = columns.get_level_values(0).isin(asked)
    return columns[found] if found.any() else columns

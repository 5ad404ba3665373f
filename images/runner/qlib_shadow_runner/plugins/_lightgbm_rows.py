"""A binned dataset made from training data in batches of rows, so that no copy of all features is made.

A table of all rows is as large as the features themselves, and the live model learns from more rows than any
other. LightGBM can be given rows in batches (`Sequence`), but then it asks Python for each row of the sample
that decides the bins, and forgets the parameters of the trees that decide which rows these are. Here the
sample is taken by columns and every parameter counts, so that each bit is that of a dataset from a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import lightgbm
import numpy as np
from lightgbm.basic import ZERO_THRESHOLD

from qlib_shadow_runner.engine.layout import release_pages

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from qlib_shadow_runner.plugins._training_data import TrainingData

BATCH: Final = 1 << 14
"""Rows that are given to LightGBM at a time."""


def binned_in_batches(training_data: TrainingData, params: Mapping[str, Any]) -> lightgbm.Dataset:
    """Return the dataset that LightGBM makes of a table of this data."""
    return _Batched(training_data, params).construct()


class _Rows(lightgbm.Sequence):
    """The rows of training data, a batch at a time."""

    batch_size = BATCH

    def __init__(self, training_data: TrainingData) -> None:
        self._of = training_data

    def __len__(self) -> int:
        return len(self._of.rows)

    def __getitem__(self, batch: Any) -> npt.NDArray[Any]:
        rows = self._of.rows[batch]
        found = self._of.features.take(rows, axis=1)
        for column in self._of.features:
            release_pages(column[rows[0] : rows[-1] + 1])
        return np.ascontiguousarray(found.T)


class _Batched(lightgbm.Dataset):
    """A dataset that is not constructed yet; its sample and parameters are those of a table."""

    def __init__(self, training_data: TrainingData, params: Mapping[str, Any]) -> None:
        self._of, self._all = training_data, dict(params)
        self._is_made = False
        super().__init__(_Rows(training_data), label=training_data.labels, params=dict(params))

    def construct(self) -> lightgbm.Dataset:
        """Bin all rows."""
        found = super().construct()
        self._is_made = True
        return found

    def get_params(self) -> dict[str, Any]:
        """Return every parameter while the bins are made, since the seed of the trees decides the sample."""
        return super().get_params() if self._is_made else dict(self._all)

    def _Dataset__sample(self, *, seqs: Any, total_nrow: int) -> Any:  # noqa: ARG002, N802 - LightGBM's names
        """Return the values of the sampled rows by column, and their places; zeros are left out."""
        rows = self._of.rows[self._create_sample_indices(total_nrow=total_nrow)]
        places = np.arange(len(rows), dtype=np.int32)
        values, kept = [], []
        for column in self._of.features:
            found = column.take(rows).astype(np.float64)
            release_pages(column)
            there = (np.abs(found) > ZERO_THRESHOLD) | np.isnan(found)
            values.append(found[there])
            kept.append(places[there])
        return values, kept

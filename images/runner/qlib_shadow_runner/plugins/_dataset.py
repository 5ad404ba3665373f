"""What the model reads from a Qlib dataset: training data and features, without Qlib's copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib.data import dataset as qlibs

from qlib_shadow_runner.plugins._training_data import LazyTrainingFrame, features_without_copy
from qlib_shadow_runner.plugins.handlers import DataHandlerLP

if TYPE_CHECKING:
    import pandas as pd

    from qlib_shadow_runner.plugins._training_data import Floats, TrainingData


def training_sets(dataset: qlibs.DatasetH) -> dict[str, TrainingData]:
    """Return the training and the validation data by segment; empty where only Qlib can prepare them."""
    spans = {name: dataset.segments[name] for name in ("train", "valid") if name in dataset.segments}
    if not all(isinstance(span, tuple | list) for span in spans.values()):
        return {}
    found = {name: training_data_of(dataset, slice(*span)) for name, span in spans.items()}
    sets = {name: data for name, data in found.items() if data and len(data.rows)}
    # Qlib has its own error for a segment without rows and for several labels.
    return sets if "train" in sets and sets.keys() == spans.keys() else {}


def training_data_of(dataset: qlibs.DatasetH, days: slice) -> TrainingData | None:
    """Return the training data of some days, or None where only Qlib can prepare it."""
    if not _is_plain(dataset):
        return None
    dataset.handler.require(days)
    frame = dataset.handler._get_df_by_key(DataHandlerLP.DK_L)  # noqa: SLF001 - Qlib gives frames alone
    return frame.training_data(days) if isinstance(frame, LazyTrainingFrame) else None


def features_of(dataset: qlibs.DatasetH, segment: str | slice) -> tuple[Floats, pd.Index]:
    """Return the features of a segment or of days, and their rows: a view where possible, else a copy."""
    span = dataset.segments.get(segment) if isinstance(segment, str) else (segment.start, segment.stop)
    if _is_plain(dataset) and isinstance(span, tuple | list):
        dataset.handler.require(slice(*span))
        frame = dataset.handler._get_df_by_key(DataHandlerLP.DK_I)  # noqa: SLF001
        found = features_without_copy(frame, slice(*span))
        if found:
            return found
    copied = dataset.prepare(segment, col_set="feature", data_key=DataHandlerLP.DK_I)
    return copied.to_numpy(), copied.index


def _is_plain(dataset: qlibs.DatasetH) -> bool:
    """Return whether a dataset selects rows by days alone, and its handler is one of ours."""
    plain = type(dataset) is qlibs.DatasetH and not dataset.fetch_kwargs
    return plain and isinstance(dataset.handler, DataHandlerLP)

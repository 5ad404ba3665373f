"""The drift of the newest days, where features and scores are in memory; its statistics are in drift/.

A training leaves a summary of its features beside its model. Each night, also one that keeps a model, holds
the last days of its test against it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from qlib.data import dataset as qlibs
from qlib.data.dataset.handler import DataHandlerLP

from qlib_shadow_runner.drift.distance import DAYS
from qlib_shadow_runner.drift.measure import drift_of_scores, drift_of_turnover, starts_of, turnover
from qlib_shadow_runner.drift.summary import Summary, SummaryError, drift_of_features, summarize
from qlib_shadow_runner.engine.layout import release_pages
from qlib_shadow_runner.plugins._dataset import features_of
from qlib_shadow_runner.storage.untrusted import DOCUMENT, read_object, why_unreadable
from qlib_shadow_runner.training.checkpoints import Checkpoints, TrainingStep
from qlib_shadow_runner.training.model_folder import SUMMARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from qlib_shadow_runner.plugins._training_data import Floats
    from qlib_shadow_runner.training.checkpoints import CheckpointDraft


@dataclass(frozen=True)
class SegmentFeatures:
    """The features of a segment, their rows sorted by day."""

    names: list[str]
    values: Floats
    days: npt.NDArray[np.int64]

    @classmethod
    def of(cls, dataset: Any, segment: str) -> SegmentFeatures | None:
        """Return them; None where only Qlib knows how to prepare them, or rows are not sorted by day."""
        handler = getattr(dataset, "handler", None)
        if (
            type(dataset) is not qlibs.DatasetH
            or dataset.fetch_kwargs
            or not isinstance(handler, DataHandlerLP)
        ):
            return None
        values, rows = features_of(dataset, segment)
        days = _days_of(rows)
        names = [str(name) for name in handler.get_cols("feature")]
        if values.shape[1:] != (len(names),) or values.dtype.kind != "f":
            return None
        return cls(names, values, days) if len(days) and (np.diff(days) >= 0).all() else None

    def column(self, place: int) -> Floats:
        """Return all values of a feature."""
        return self.values[:, place]


def leave_summary(draft: CheckpointDraft, dataset: Any) -> None:
    """Write what the features were on the days of train beside the evaluated model."""
    if draft.step is not TrainingStep.MODEL:
        return
    found = SegmentFeatures.of(dataset, "train")
    summary = summarize(found.names, found.column, found.days) if found else None
    if found and summary:
        text = json.dumps(summary.document(), separators=(",", ":"), allow_nan=False)
        if len(text) <= DOCUMENT.most:
            draft.path(SUMMARY).write_text(text, encoding="utf-8")
        release_pages(found.values)


def drift_of(dataset: Any, predictions: Any) -> pd.DataFrame:
    """Return what is known of the drift of the last days: measure, name and value."""
    rows = [*_of_features(dataset), *_of_scores(predictions)]
    index = pd.MultiIndex.from_tuples([row[:2] for row in rows], names=["measure", "name"])
    return pd.DataFrame({"value": [float(row[2]) for row in rows]}, index=index)


def _of_features(dataset: Any) -> Iterator[tuple[str, str, float]]:
    summary, why = _summary()
    if summary is None:
        yield "unknown", f"features: {why}", math.nan
        return
    found = SegmentFeatures.of(dataset, "test")
    if found is None or len(starts_of(found.days)) <= DAYS:
        yield "unknown", f"features: test has fewer than {DAYS} days, or features in another form", math.nan
        return
    drift = drift_of_features(summary, found.names, found.column, found.days)
    release_pages(found.values)
    if unknown := [name for name in found.names if name not in drift]:
        yield "unknown", f"features: the model's summary lacks {unknown[0]:.100}", math.nan
    yield "days", "train", summary.days
    for name, value in drift.items():
        yield "features", name, value


def _summary() -> tuple[Summary | None, str]:
    """Return the summary beside the model, which another run may have written, or why there is none."""
    checkpoints = Checkpoints.from_environ()
    model = checkpoints.find(TrainingStep.MODEL) if checkpoints else None
    if model is None:
        return None, "the model is kept in no folder"
    try:
        return Summary.parse(read_object(model.folder, SUMMARY, DOCUMENT)), ""
    except FileNotFoundError:
        return None, "the model has no summary of the days of train, or they were too few"
    except OSError as error:
        return None, why_unreadable(error, model.folder)
    except SummaryError as error:
        return None, f"{SUMMARY} cannot be used: {error}"


def _of_scores(predictions: Any) -> Iterator[tuple[str, str, float]]:
    scores = predictions.iloc[:, 0].to_numpy(np.float64)
    days, index = _days_of(predictions.index), predictions.index
    if not len(days) or (np.diff(days) < 0).any():
        yield "unknown", "scores: they are not sorted by day", math.nan
        return
    starts = starts_of(days)
    place = index.names.index("instrument")
    measured = {
        "scores": drift_of_scores(scores, starts),
        "turnover": drift_of_turnover(turnover(scores, index.codes[place], starts)),
    }
    yield "days", "evaluated", max(0, len(starts) - 1 - DAYS)
    for name, value in measured.items():
        if value is None:
            yield "unknown", f"{name}: test has fewer than {2 * DAYS} days", math.nan
        else:
            yield name, "all", value


def _days_of(index: Any) -> npt.NDArray[np.int64]:
    """Return the number of each row's day; none where rows are not days and instruments."""
    if not isinstance(index, pd.MultiIndex) or not {"datetime", "instrument"} <= set(index.names):
        return np.empty(0, np.int64)
    place = index.names.index("datetime")
    order = np.argsort(np.argsort(index.levels[place]))
    return np.asarray(order[index.codes[place]], np.int64)

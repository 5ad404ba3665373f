"""The drift that a night records is of its own features and scores, whatever lies beside the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from qlib.data.dataset import DatasetH
from qlib.data.dataset.handler import DataHandlerLP

from qlib_shadow_runner.plugins._drift import drift_of, leave_summary
from qlib_shadow_runner.training.checkpoints import ENV_CHECKPOINTS, Checkpoints, TrainingStep

if TYPE_CHECKING:
    from pathlib import Path

DAYS = pd.bdate_range("2020-01-01", periods=160, name="datetime")
TRAIN, TEST = DAYS[:80], DAYS[90:]
NAMES = [f"S{number:02}" for number in range(30)]


def dataset(shift: float = 0.0) -> DatasetH:
    """Return noise, of which F1 is shifted on the last 20 days; one instrument is often missing."""
    generator = np.random.default_rng(3)
    rows = pd.MultiIndex.from_product([DAYS, NAMES], names=["datetime", "instrument"])
    values = generator.normal(size=(len(rows), 4)).astype(np.float32)
    values[-20 * len(NAMES) :, 1] += shift
    columns = pd.MultiIndex.from_tuples([*(("feature", f"F{i}") for i in range(3)), ("label", "LABEL0")])
    frame = pd.DataFrame(values, index=rows, columns=columns)
    keep = ~((rows.get_level_values(1) == "S07") & (generator.random(len(rows)) < 0.5))
    spans = {"train": (TRAIN[0], TRAIN[-1]), "test": (TEST[0], TEST[-1])}
    return DatasetH(handler=DataHandlerLP.from_df(frame[keep]), segments=spans)


def predictions(data: DatasetH) -> pd.DataFrame:
    """Return scores for the test."""
    found: pd.DataFrame = data.prepare("test", col_set="feature").iloc[:, [0]].set_axis(["score"], axis=1)
    return found


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoints:
    """Return the checkpoints of a run that has trained on the data."""
    monkeypatch.setenv(ENV_CHECKPOINTS, str(tmp_path))
    found = Checkpoints(tmp_path)
    draft = found.begin(TrainingStep.MODEL)
    draft.path("model.txt").write_text("tree")
    leave_summary(draft, dataset())
    draft.keep({})
    return found


def measured(data: DatasetH) -> dict[str, dict[str, float]]:
    """Return the recorded values by measure and name."""
    found: dict[str, dict[str, float]] = {}
    for measure, name, value in drift_of(data, predictions(data)).reset_index().itertuples(index=False):
        found.setdefault(str(measure), {})[str(name)] = float(value)
    return found


def test_a_night_is_held_against_the_days_of_train(checkpoints: Checkpoints):
    """A feature that is shifted stands out; the others are as near as the windows of train."""
    assert checkpoints.find(TrainingStep.MODEL) is not None
    same, shifted = measured(dataset()), measured(dataset(shift=2))
    assert same["days"] == {"train": 80, "evaluated": 50}
    assert max(same["features"].values()) < 2
    assert shifted["features"]["F1"] > 8
    assert [shifted["features"][name] for name in ("F0", "F2")] == [
        same["features"][name] for name in ("F0", "F2")
    ]
    assert same.keys() == {"days", "features", "scores", "turnover"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "has no summary of the days of train"),
        ("{", "is not a JSON object"),
        ('{"format": 1, "days": 80, "features": [{}]}', "summary.json cannot be used: a feature has no name"),
        ("x" * (3 << 20), "has at most 2"),
    ],
)
def test_a_summary_that_cannot_be_used_is_named(checkpoints: Checkpoints, content: str | None, why: str):
    """The night goes on, and scores and turnover are known all the same."""
    draft = checkpoints.begin(TrainingStep.MODEL)
    draft.path("model.txt").write_text("tree")
    if content is not None:
        draft.path("summary.json").write_text(content)
    draft.keep({})
    found = measured(dataset())
    assert "features" not in found
    assert found.keys() == {"days", "unknown", "scores", "turnover"}
    assert any(why in one for one in found["unknown"])


def test_a_feature_that_train_did_not_have_is_named(checkpoints: Checkpoints):
    """A summary of other features is no reason to say that all is well."""
    folder = checkpoints.home / TrainingStep.MODEL
    document = json.loads((folder / "summary.json").read_text())
    document["features"] = document["features"][:2]
    draft = checkpoints.begin(TrainingStep.MODEL)
    draft.path("summary.json").write_text(json.dumps(document))
    draft.keep({})
    found = measured(dataset())
    assert found["unknown"].keys() == {"features: the model's summary lacks F2"}


def test_other_datasets_record_that_nothing_is_known():
    """Of models that prepare their data in their own way."""
    data: Any = type("Other", (), {})()
    found = drift_of(data, predictions(dataset()))
    assert "unknown" in found.index.get_level_values("measure")

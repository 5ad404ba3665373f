"""Qlib's records, each with a checkpoint: a later attempt restores its files instead of computing them again.

What a record saves is written to the checkpoint first and given to the recorder from there, so that the
restored files have the same bytes. Without checkpoints, as under plain `qrun`, Qlib's records save for
themselves.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from qlib.utils.serial import Serializable
from qlib.workflow import record_temp

from qlib_shadow_runner.crash_points import QrunPoint, fault_point
from qlib_shadow_runner.pickles.files import DRIFT, LIVE, RECORDED_IN, SEGMENT_IC
from qlib_shadow_runner.plugins._drift import drift_of
from qlib_shadow_runner.plugins._live import live_scores
from qlib_shadow_runner.plugins._segment_ic import segment_ic
from qlib_shadow_runner.training.checkpoints import (
    ENV_KEPT_MODEL,
    Checkpoint,
    CheckpointDraft,
    Checkpoints,
    TrainingStep,
)

if TYPE_CHECKING:
    from pathlib import Path


class RecordingRecorder:
    """A recorder that also writes the objects and metrics to a checkpoint."""

    def __init__(self, recorder: Any, draft: CheckpointDraft) -> None:
        self._recorder = recorder
        self._draft = draft
        self.metrics: list[dict[str, float]] = []

    def save_objects(
        self, local_path: Path | None = None, artifact_path: str | None = None, **objects: Any
    ) -> None:
        """Write objects to the checkpoint, and give those files to the recorder."""
        assert local_path is None, "records save objects, not files"
        for name, value in objects.items():
            path = self._draft.path(f"{artifact_path}/{name}" if artifact_path else name)
            Serializable.general_dump(value, path)
            self._recorder.save_objects(local_path=str(path), artifact_path=artifact_path)

    def log_metrics(self, **metrics: Any) -> None:
        """Log metrics and remember them."""
        self.metrics.append({name: float(value) for name, value in metrics.items()})
        self._recorder.log_metrics(**metrics)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recorder, name)


class CheckpointedRecord:
    """A record that is computed once, even if the run takes several attempts."""

    step: ClassVar[TrainingStep]
    _recorder: Any

    def generate(self, **kwargs: Any) -> None:
        """Restore what an earlier attempt computed, or compute it and keep it."""
        log_synchronously(self._recorder)  # our model has done so already, Qlib's models do not
        checkpoints = Checkpoints.from_environ()
        if checkpoints is None:
            self._compute(**kwargs)
        elif found := checkpoints.find(self.step):
            _restore(found, self.step, self._recorder)
        else:
            self._compute_and_keep(checkpoints.begin(self.step), **kwargs)

    def _compute(self, **kwargs: Any) -> None:
        super().generate(**kwargs)  # type: ignore[misc]

    def _compute_and_keep(self, draft: CheckpointDraft, **kwargs: Any) -> None:
        recorder = self._recorder
        self._recorder = recording = RecordingRecorder(recorder, draft)
        try:
            self._compute(**kwargs)
        finally:
            self._recorder = recorder
        fault_point(QrunPoint(f"{self.step}-made"))
        draft.keep({"metrics": recording.metrics})


def _restore(found: Checkpoint, step: TrainingStep, recorder: Any) -> None:
    recorder.save_objects(local_path=str(found.folder))
    for metrics in found.details["metrics"]:
        recorder.log_metrics(**metrics)
    found.log_use(step)


class SignalRecord(CheckpointedRecord, record_temp.SignalRecord):  # type: ignore[misc]
    """The predictions and the labels; beside them the live model's, the IC of train and valid, the drift."""

    step = TrainingStep.PREDICTION

    def _compute(self, **kwargs: Any) -> None:
        super()._compute(**kwargs)
        # Afterwards, since pandas pickles what it has looked up: plain qrun leaves the same bytes.
        live = live_scores(self.model, self.dataset)
        if live is not None:
            self.save(**{RECORDED_IN[LIVE]: live})
        # The days of train and valid are this run's, and a kept model has learnt from others.
        found = None if os.environ.get(ENV_KEPT_MODEL) else segment_ic(self.model, self.dataset)
        if found is not None:
            self.save(**{RECORDED_IN[SEGMENT_IC]: found})
        self.save(**{RECORDED_IN[DRIFT]: drift_of(self.dataset, self.load("pred.pkl"))})


class SigAnaRecord(CheckpointedRecord, record_temp.SigAnaRecord):  # type: ignore[misc]
    """The correlation of the predictions with the labels, computed by Qlib."""

    step = TrainingStep.ANALYSIS


class PortAnaRecord(CheckpointedRecord, record_temp.PortAnaRecord):  # type: ignore[misc]
    """The backtest of a portfolio, and its risk figures."""

    step = TrainingStep.BACKTEST


def log_synchronously(recorder: Any) -> None:
    """Wait until a recorder has written its queued metrics, and let it write all others at once."""
    if recorder.async_log is not None:
        recorder.async_log.wait()
        recorder.async_log = None

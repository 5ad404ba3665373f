"""Qlib's records, each a step that leaves a checkpoint and is restored from it instead of computed again.

What a record saves is written to the checkpoint first and given to the recorder from there, so that what is
restored is the same bytes. Loaded by qrun, by class path; without checkpoints they are Qlib's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qlib.utils.serial import Serializable
from qlib.workflow import record_temp

from qlib_shadow_runner.crash_points import QrunPoint, fault_point
from qlib_shadow_runner.training.checkpoints import Checkpoint, CheckpointDraft, Checkpoints, TrainingStep

if TYPE_CHECKING:
    from pathlib import Path


class RecordingRecorder:
    """A recorder that also writes down what it is given."""

    def __init__(self, recorder: Any, draft: CheckpointDraft) -> None:
        self._recorder = recorder
        self._draft = draft
        self.metrics: list[dict[str, float]] = []

    def save_objects(
        self, local_path: Path | None = None, artifact_path: str | None = None, **objects: Any
    ) -> None:
        """Save objects by way of the checkpoint."""
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
    """A record that is done once, however many attempts the run takes."""

    step: ClassVar[TrainingStep]
    _recorder: Any

    def generate(self, **kwargs: Any) -> None:
        """Restore what an earlier attempt made, or make it and keep it."""
        log_in_step(self._recorder)  # not every model has seen to it
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
    found.tell(step)


class SignalRecord(CheckpointedRecord, record_temp.SignalRecord):  # type: ignore[misc]
    """The predictions and the labels."""

    step = TrainingStep.PREDICTION


class SigAnaRecord(CheckpointedRecord, record_temp.SigAnaRecord):  # type: ignore[misc]
    """How well the predictions foresaw the labels."""

    step = TrainingStep.ANALYSIS


class PortAnaRecord(CheckpointedRecord, record_temp.PortAnaRecord):  # type: ignore[misc]
    """What a portfolio would have done."""

    step = TrainingStep.BACKTEST


def log_in_step(recorder: Any) -> None:
    """Let a recorder finish what it has queued, and write from now on before it goes on."""
    if recorder.async_log is not None:
        recorder.async_log.wait()
        recorder.async_log = None

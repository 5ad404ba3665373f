"""The model that the built-in template names: Qlib's LightGBM, under a recorder that keeps step.

Qlib's recorder writes metrics in a thread of its own while the run goes on to save objects, for which
MLflow reads every metric file. A file that exists but is still empty at that instant ends the run with
"Metric 'IC' is malformed. No data found". It happens on busy machines, and costs the whole training.
Loaded by qrun, by class path; knows Qlib and nothing of the stages.
"""

from __future__ import annotations

from typing import Any

from qlib.contrib.model import gbdt
from qlib.workflow import R


def log_in_step(recorder: Any) -> None:
    """Let a recorder finish what it has queued, and write from now on before it goes on."""
    if recorder.async_log is not None:
        recorder.async_log.wait()
        recorder.async_log = None


class LGBModel(gbdt.LGBModel):  # type: ignore[misc]
    """Qlib's model, unchanged; training is the first that logs a metric."""

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Train, once the recorder is in step."""
        log_in_step(R.get_recorder())
        super().fit(*args, **kwargs)

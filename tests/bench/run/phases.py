"""Where the time of one qrun goes: each second belongs to the innermost phase that is under way.

Seconds are counted by the wall's clock, and by the processors' as well: on a busy machine, those tell more.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

IMPORTS: Final = "imports"
FEATURES: Final = "features"
PROCESSORS: Final = "processors, slices"
BINNING: Final = "LightGBM dataset"
BOOSTING: Final = "boosting"
PREDICTION: Final = "prediction"
SEGMENTS: Final = "IC of train and valid"
"""Ours alone, with the predictions that it needs."""
ANALYSIS: Final = "signal analysis"
BACKTEST: Final = "backtest"
BOOKKEEPING: Final = "MLflow, the rest"
PHASES: Final = (
    IMPORTS,
    FEATURES,
    PROCESSORS,
    BINNING,
    BOOSTING,
    PREDICTION,
    SEGMENTS,
    ANALYSIS,
    BACKTEST,
    BOOKKEEPING,
)
"""In the order of a run."""


class Clock:
    """Counts the seconds of each phase."""

    def __init__(self, began: float) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.processor = dict.fromkeys(PHASES, 0.0)
        self._phases = [IMPORTS]
        self._since = began, 0.0

    def enter(self, phase: str) -> None:
        """Begin a phase inside of another."""
        self._count()
        self._phases.append(SEGMENTS if self._phases[-1] == SEGMENTS else phase)

    def leave(self) -> None:
        """Go on with the phase before."""
        self._count()
        self._phases.pop()

    def become(self, phase: str) -> None:
        """End the outermost phase, and go on with another."""
        self._count()
        self._phases[0] = phase

    def stop(self) -> dict[str, dict[str, float]]:
        """Give what was counted."""
        self._count()
        return {"seconds": self.seconds, "processor": self.processor}

    def _count(self) -> None:
        now = time.perf_counter(), time.process_time()
        for counted, begun, ended in zip((self.seconds, self.processor), self._since, now, strict=True):
            counted[self._phases[-1]] += ended - begun
        self._since = now

    def timed(self, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Count what is done inside of a call."""

        @functools.wraps(call)
        def inside(*given: Any, **named: Any) -> Any:
            self.enter(phase)
            try:
                return call(*given, **named)
            finally:
                self.leave()

        return inside


def watch(clock: Clock) -> None:
    """Count the phases of the qrun that this process is about to do."""
    import lightgbm  # noqa: PLC0415 - imported under the clock
    from qlib.data.dataset import DatasetH  # noqa: PLC0415
    from qlib.data.dataset.handler import DataHandler, DataHandlerLP  # noqa: PLC0415
    from qlib.workflow import record_temp  # noqa: PLC0415

    from qlib_shadow_runner.plugins import records  # noqa: PLC0415

    for owner, name, phase in (
        (DataHandler, "setup_data", FEATURES),
        (DataHandlerLP, "process_data", PROCESSORS),
        (DatasetH, "prepare", PROCESSORS),
        (lightgbm.Dataset, "construct", BINNING),
        (lightgbm.Dataset, "save_binary", BINNING),
        (lightgbm, "train", BOOSTING),
        (lightgbm.Booster, "predict", PREDICTION),
        (records, "segment_ic", SEGMENTS),
        (record_temp.SigAnaRecord, "generate", ANALYSIS),
        (record_temp.PortAnaRecord, "generate", BACKTEST),
    ):
        setattr(owner, name, clock.timed(phase, getattr(owner, name)))

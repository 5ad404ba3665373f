"""Named points at which a test may let the process die, as a node without power or memory lets it.

Nothing happens unless QLIB_SHADOW_FAULT names the point. `NAME` alone kills this process, as the kernel does
when memory runs out; a second word says what happens instead (see MANNERS).
"""

from __future__ import annotations

import os
import signal
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENV_FAULT: Final = "QLIB_SHADOW_FAULT"
ENV_STAGE: Final = "QLIB_SHADOW_FAULT_STAGE"
"""The process of the stage, where this is one of its children."""


class QrunPoint(StrEnum):
    """Every point of the qrun stage, in the order in which a run passes them."""

    MODEL_MADE = "model-made"
    MODEL_WRITTEN = "model-written"
    MODEL_KEPT = "model-kept"
    PREDICTION_MADE = "prediction-made"
    PREDICTION_WRITTEN = "prediction-written"
    PREDICTION_KEPT = "prediction-kept"
    ANALYSIS_MADE = "analysis-made"
    ANALYSIS_WRITTEN = "analysis-written"
    ANALYSIS_KEPT = "analysis-kept"
    BACKTEST_MADE = "backtest-made"
    BACKTEST_WRITTEN = "backtest-written"
    BACKTEST_KEPT = "backtest-kept"
    TRAINED = "trained"
    TRAINED_RECORDED = "trained-recorded"
    EXPORT_MADE = "export-made"
    EXPORT_SIGNALS = "export-signals"
    EXPORT_METRICS = "export-metrics"
    EXPORT_SUMMARY = "export-summary"
    EXPORTED = "exported"
    DESCRIBED = "described"
    CLEARED = "cleared"


class ReusePoint(StrEnum):
    """Every point of taking over what another run has trained, in order."""

    COPIED = "reuse-copied"
    PLACED = "reuse-placed"
    RECORDED = "reuse-recorded"


def fault_point(name: str) -> None:
    """Fail here, if that is what the environment asks for."""
    wanted, _, manner = os.environ.get(ENV_FAULT, "").partition(" ")
    if wanted == name:
        MANNERS[manner](int(os.environ.get(ENV_STAGE, os.getpid())))


def for_children(environ: Mapping[str, str]) -> dict[str, str]:
    """Hand the wish on to a child of the stage, whose environment is an allow-list."""
    if ENV_FAULT not in environ:
        return {}
    return {ENV_FAULT: environ[ENV_FAULT], ENV_STAGE: str(os.getpid())}


def _die(_stage: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_with_stage(stage: int) -> None:
    os.kill(stage, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _be_terminated(stage: int) -> None:
    """Ask the stage to stop, and go on when it has told this process."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    os.kill(stage, signal.SIGTERM)
    os.read(reading, 1)
    signal.set_wakeup_fd(-1)


def _ask_too_much(_stage: int) -> NoReturn:
    raise AssertionError(bytearray(sys.maxsize))  # the MemoryError comes before


MANNERS: Final[Mapping[str, Callable[[int], None]]] = {
    "": _die,
    "stage": _die_with_stage,
    "terminate": _be_terminated,
    "memory": _ask_too_much,
}
"""`stage` takes the stage's process along, as a power cut does; `terminate` has the stage stopped, as the
kubelet does it; `memory` asks for more than there is."""

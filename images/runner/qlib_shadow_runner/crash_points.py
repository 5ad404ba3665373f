"""Named points at which a test may kill a process, as a node without power or memory does.

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
REACHED: Final = "fault point reached: "
"""Printed before the process waits at a point."""


class QrunPoint(StrEnum):
    """Every point of the qrun stage, in the order in which a run passes them."""

    MODEL_MADE = "model-made"
    MODEL_WRITTEN = "model-written"
    MODEL_KEPT = "model-kept"
    LIVE_MADE = "live-made"
    LIVE_WRITTEN = "live-written"
    LIVE_KEPT = "live-kept"
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
    EXPORT_TABLES = "export-tables"
    EXPORT_SIGNALS = "export-signals"
    EXPORT_METRICS = "export-metrics"
    EXPORT_SUMMARY = "export-summary"
    EXPORTED = "exported"
    DESCRIBED = "described"
    REPORTED = "reported"
    CLEARED = "cleared"


class ReportPoint(StrEnum):
    """The point of making a report; whatever happens there, the run goes on."""

    MADE = "report-made"


class ReusePoint(StrEnum):
    """Every point of reusing the training of another run, in order."""

    COPIED = "reuse-copied"
    PLACED = "reuse-placed"
    RECORDED = "reuse-recorded"


class ModelPoint(StrEnum):
    """Every point of keeping the model of another run and of leaving one's own, in order."""

    CHOSEN = "keep-chosen"
    COPIED = "keep-copied"
    RENDERED = "keep-rendered"
    SEEDED = "keep-seeded"
    LEFT = "model-left"


class LedgerPoint(StrEnum):
    """Every point of writing a file of a book, and of the night around them; an entry passes three."""

    LOCKED = "ledger-locked"
    DRAFTED = "ledger-drafted"
    LINKED = "ledger-linked"
    SYNCED = "ledger-synced"
    RECONCILED = "ledger-reconciled"
    PLANNED = "ledger-planned"


def fault_point(name: str) -> None:
    """Fail here if the environment names this point."""
    wanted, _, manner = os.environ.get(ENV_FAULT, "").partition(" ")
    if wanted == name:
        ACTIONS[manner](name)


def for_children(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variable for a child of the stage, whose environment is an allow-list."""
    return {ENV_FAULT: environ[ENV_FAULT]} if ENV_FAULT in environ else {}


def _kill_process(_name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wait(name: str) -> None:
    """Print that the point is reached, and continue after the next signal, if the process survives it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing)
    sys.stderr.write(f"{REACHED}{name}\n")
    sys.stderr.flush()
    os.read(reading, 1)
    signal.set_wakeup_fd(before)


def _exceed_memory(_name: str) -> NoReturn:
    raise AssertionError(bytearray(sys.maxsize))  # the MemoryError comes before


ACTIONS: Final[Mapping[str, Callable[[str], None]]] = {
    "": _kill_process,
    "wait": _wait,
    "memory": _exceed_memory,
}
"""`wait` lets a test kill all processes at this instant, or stop the stage as the kubelet does.
`memory` asks for more memory than there is."""

"""The public API: every class of this package that a workflow may name, and the paths that are gone.

docs/plugins.md says what may change here. A path that is retired goes to `RETIRED`, so that a workflow with
the old path is refused with the new one. Knows nothing of Qlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract.spec.workflow import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping

ClassPath = tuple[str, str]
"""A module and a class in it."""

PLUGINS: Final = "qlib_shadow_runner.plugins"
MODEL: Final = f"{PLUGINS}.lightgbm"
ENSEMBLE: Final = f"{PLUGINS}.double_ensemble"
HANDLERS: Final = f"{PLUGINS}.handlers"
LOADER: Final = f"{PLUGINS}.loader"
PROCESSORS: Final = f"{PLUGINS}.processors"
RECORDS: Final = f"{PLUGINS}.records"
STRATEGY: Final = f"{PLUGINS}.backtest.strategy"
EXECUTOR: Final = f"{PLUGINS}.backtest.executor"
EXCHANGE: Final = f"{PLUGINS}.backtest.exchange"
ANALYSIS: Final = f"{PLUGINS}.backtest.records"
ON_ARRAYS: Final[Mapping[str, tuple[str, ...]]] = {
    HANDLERS: ("Alpha158", "Alpha158vwap", "Alpha360", "Alpha360vwap", "DataHandlerLP"),
    STRATEGY: ("TopkDropoutStrategy",),
    EXECUTOR: ("SimulatorExecutor",),
    EXCHANGE: ("Exchange",),
    ANALYSIS: ("SigAnaRecord",),
}
"""Classes of the engine `fast`: Qlib's class of the same name on arrays, with the same bits."""
WITH_CHECKPOINTS: Final[Mapping[str, tuple[str, ...]]] = {
    MODEL: ("LGBModel",),
    ENSEMBLE: ("DEnsembleModel",),
    HANDLERS: ("QlibAlpha158",),
    RECORDS: ("SignalRecord", "SigAnaRecord", "PortAnaRecord"),
}
"""Classes that let Qlib compute, but only what no checkpoint holds."""
USED_BY_HANDLERS: Final[Mapping[str, tuple[str, ...]]] = {
    LOADER: ("QlibDataLoader",),
    PROCESSORS: ("CSZScoreNorm", "ProcessInf"),
}
"""Classes that the handlers on arrays put in the place of Qlib's, which a workflow names."""
INSTEAD_OF: Final[Mapping[ClassPath, ClassPath]] = {
    ("qlib.contrib.model.gbdt", "LGBModel"): (MODEL, "LGBModel"),
    ("qlib.contrib.model.double_ensemble", "DEnsembleModel"): (ENSEMBLE, "DEnsembleModel"),
    **{
        ("qlib.workflow.record_temp", name): (RECORDS, name)
        for name in ("SignalRecord", "SigAnaRecord", "PortAnaRecord")
    },
}
"""Qlib's classes that a workflow may not name, and those of ours that it names instead."""
QLIBS: Final = {LOADER: "qlib.data.dataset.loader", PROCESSORS: "qlib.data.dataset.processor"}
"""Qlib's modules with the classes of the same names."""


def class_paths(*tables: Mapping[str, tuple[str, ...]]) -> frozenset[ClassPath]:
    """Return the class paths of some of the tables above."""
    return frozenset((module, name) for table in tables for module, names in table.items() for name in names)


def engine_of(path: ClassPath) -> Engine:
    """Return the engine that a class computes with; a class that is not ours is Qlib's."""
    return Engine.FAST if path in class_paths(ON_ARRAYS) else Engine.QLIB


_MOVED: Final = {
    "qlib_shadow_runner.model": MODEL,
    "qlib_shadow_runner.training.records": RECORDS,
    "qlib_shadow_runner.fast.handler": HANDLERS,
    "qlib_shadow_runner.fast.loader": LOADER,
    "qlib_shadow_runner.fast.processors": PROCESSORS,
    "qlib_shadow_runner.fast.backtest.strategy": STRATEGY,
    "qlib_shadow_runner.fast.backtest.executor": EXECUTOR,
    "qlib_shadow_runner.fast.backtest.exchange": EXCHANGE,
    "qlib_shadow_runner.fast.backtest.records": ANALYSIS,
}
RETIRED: Final[Mapping[ClassPath, ClassPath]] = {
    ("qlib_shadow_runner.training.handler", "Alpha158"): (HANDLERS, "QlibAlpha158"),
    **{
        (old, name): (new, name)
        for old, new in _MOVED.items()
        for module, name in class_paths(ON_ARRAYS, WITH_CHECKPOINTS, USED_BY_HANDLERS)
        if module == new and name != "QlibAlpha158"
    },
}
"""Each path that a workflow could name before, and the one that has taken its place."""


def advice_for(path: ClassPath) -> str | None:
    """Return what to write in the place of a path of ours that may not be named; None for any other path."""
    new = RETIRED.get(path, path)
    gone = "a path that is gone" if path in RETIRED else None
    if new in class_paths(USED_BY_HANDLERS):
        return (
            f"{gone or 'which a workflow does not name'}; write {_written((QLIBS[new[0]], new[1]))}, "
            f"which the handlers of {HANDLERS} replace by {'.'.join(new)}"
        )
    if path in INSTEAD_OF:
        return f"in whose place a shadow run takes a class of its own; write {_written(INSTEAD_OF[path])}"
    return f"{gone}; write {_written(new)} instead" if gone else None


def _written(path: ClassPath) -> str:
    return f"class: {path[1]} and module_path: {path[0]}"

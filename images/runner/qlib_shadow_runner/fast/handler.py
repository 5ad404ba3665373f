"""Qlib's handlers over the fast loader: the same arguments, features, labels and processors.

Nothing is computed before somebody asks: a run whose model and predictions are there asks for nothing. Named
in a workflow by class path; plain `qrun` in the same image runs the same file.
"""

from __future__ import annotations

from typing import Any, Final

from qlib.contrib.data import handler
from qlib.data.dataset import handler as handlers
from qlib.data.dataset import processor as qlibs_processors

from qlib_shadow_runner.fast import processors

LOADER: Final = {"class": "QlibDataLoader", "module_path": "qlib_shadow_runner.fast.loader"}
QLIBS_LOADERS: Final = (None, "qlib.data.dataset.loader")
OURS: Final = frozenset({"CSZScoreNorm", "ProcessInf"})
PROCESSORS: Final = ("shared_processors", "infer_processors", "learn_processors")


class DataHandlerLP(handlers.DataHandlerLP):  # type: ignore[misc]
    """Qlib's handler of own features, whose loader and processors are taken from here where we have them."""

    def __init__(self, *given: Any, **named: Any) -> None:
        for step in PROCESSORS:
            if step in named:
                named[step] = [_processor(one) for one in named[step]]
        if "data_loader" in named:
            named["data_loader"] = _loader(named["data_loader"])
        super().__init__(*given, **{**named, "init_data": False})

    def _get_df_by_key(self, data_key: str = handlers.DataHandlerLP.DK_I) -> Any:
        """Compute everything before the first look at anything."""
        if "_learn" not in self.__dict__:
            self.setup_data()
        return super()._get_df_by_key(data_key)

    @staticmethod
    def _is_proc_readonly(steps: list[Any]) -> bool:
        """Spare a copy of the whole where the first step makes a frame of its own."""
        own_frame = bool(steps) and isinstance(steps[0], qlibs_processors.DropnaProcessor)
        return own_frame or bool(handlers.DataHandlerLP._is_proc_readonly(steps))  # noqa: SLF001


class Alpha158(handler.Alpha158, DataHandlerLP):  # type: ignore[misc]
    """Qlib's Alpha158."""


class Alpha158vwap(handler.Alpha158vwap, DataHandlerLP):  # type: ignore[misc]
    """Qlib's Alpha158 with a label of average prices."""


class Alpha360(handler.Alpha360, DataHandlerLP):  # type: ignore[misc]
    """Qlib's Alpha360."""


class Alpha360vwap(handler.Alpha360vwap, DataHandlerLP):  # type: ignore[misc]
    """Qlib's Alpha360 with a label of average prices."""


def _loader(named: Any) -> Any:
    """Put ours in the place of Qlib's; whatever else is named stays."""
    if not isinstance(named, dict) or named.get("class") != LOADER["class"]:
        return named
    return {**named, **LOADER} if named.get("module_path") in QLIBS_LOADERS else named


def _processor(named: Any) -> Any:
    if isinstance(named, str):
        named = {"class": named}
    if not isinstance(named, dict) or named.get("module_path") not in (None, qlibs_processors.__name__):
        return named
    return {**named, "module_path": processors.__name__} if named["class"] in OURS else named

"""Qlib's handlers with the same arguments, features, labels and processors.

`QlibAlpha158` computes by Qlib's own loader, all others by the array engine. None computes anything until a
frame is requested: a run that finds its model and predictions in checkpoints needs no features. Plain `qrun`
in the same image can run a workflow that names them.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
from qlib.contrib.data import handler
from qlib.contrib.data.loader import Alpha158DL
from qlib.data.dataset import handler as handlers
from qlib.data.dataset import processor as qlibs_processors

from qlib_shadow_runner.cache.places import ENV_ROWS_FROM
from qlib_shadow_runner.plugins import processors
from qlib_shadow_runner.plugins._processor_state import kept_states, restore
from qlib_shadow_runner.plugins._training_data import (
    LazyTrainingFrame,
    has_separable_labels,
    labels_of,
    use_labels_only,
)
from qlib_shadow_runner.plugins.loader import QlibDataLoader
from qlib_shadow_runner.workflow.allowed.alpha158 import FACTORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.training.processor_state import ProcessorState

LOADER: Final = {"class": "QlibDataLoader", "module_path": "qlib_shadow_runner.plugins.loader"}
QLIBS_LOADERS: Final = (None, "qlib.data.dataset.loader")
REPLACED_PROCESSORS: Final = frozenset({"CSZScoreNorm", "ProcessInf"})
BY_DAY: Final = frozenset(
    {
        *(processors.CSZScoreNorm, processors.ProcessInf),
        *(qlibs_processors.CSZScoreNorm, qlibs_processors.ProcessInf, qlibs_processors.CSRankNorm),
        *(qlibs_processors.CSZFillna, qlibs_processors.Fillna, qlibs_processors.TanhProcess),
        *(qlibs_processors.DropnaLabel, qlibs_processors.DropnaProcessor),
        *(qlibs_processors.DropCol, qlibs_processors.FilterCol),
    }
)
"""Processors that make of a day's rows what they make of them among other days."""
ENDS: Final = 2
PROCESSORS: Final = ("shared_processors", "infer_processors", "learn_processors")


class _ChosenFactors:
    """Adds the argument `features` to a handler of Qlib's; names and expressions stay Qlib's."""

    def __init__(self, *given: Any, features: Mapping[str, Any] | None = None, **named: Any) -> None:
        if features is not None:
            FACTORS.check(features, "the handler's features")
        self._chosen = features
        super().__init__(*given, **named)

    def get_feature_config(self) -> Any:
        """Return the expressions and the names of their columns, for Qlib's handler."""
        if self._chosen is None:
            return super().get_feature_config()  # type: ignore[misc]
        return Alpha158DL.get_feature_config(self._chosen)


class QlibAlpha158(_ChosenFactors, handler.Alpha158):  # type: ignore[misc]
    """Qlib's Alpha158 or some of its factors, by Qlib's own loader, but computed on the first request."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, init_data=False)

    def _get_df_by_key(self, data_key: str = handler.DataHandlerLP.DK_I) -> Any:
        if "_learn" not in self.__dict__:
            self.setup_data()
        return super()._get_df_by_key(data_key)


class DataHandlerLP(handlers.DataHandlerLP):  # type: ignore[misc]
    """Qlib's handler of own features, with our loader and our processors in the place of Qlib's."""

    learn_processors: list[Any]
    _training_frame: pd.DataFrame | LazyTrainingFrame
    _states: Mapping[int, ProcessorState]
    _reads_all = False

    def __init__(self, *given: Any, **named: Any) -> None:
        for step in PROCESSORS:
            if step in named:
                named[step] = [_processor(one) for one in named[step]]
        if "data_loader" in named:
            named["data_loader"] = _loader(named["data_loader"])
        super().__init__(*given, **{**named, "init_data": False})

    def setup_data(self, *given: Any, **named: Any) -> None:
        """Load and process; with a kept model only the days that the run reads, where that changes none."""
        if isinstance(self.data_loader, QlibDataLoader):
            self.data_loader.rows_from = self._rows_from()
        super().setup_data(*given, **named)

    def _rows_from(self) -> pd.Timestamp | None:
        asked, steps = os.environ.get(ENV_ROWS_FROM), (getattr(self, name) for name in PROCESSORS)
        if not asked or self._reads_all or not all(type(step) in BY_DAY for step in itertools.chain(*steps)):
            return None
        return pd.Timestamp(asked)

    def require(self, days: Any) -> None:
        """Let a request for days see them, also those before the first that a kept model's run reads."""
        if isinstance(days, list | tuple) and len(days) == ENDS:  # Qlib takes both for a span
            days = slice(*days)
        begin = days.start if isinstance(days, slice) else None
        rows_from = self._rows_from()
        if rows_from is not None and (begin is None or pd.Timestamp(begin) < rows_from):
            self._reads_all = True
            if "_training_frame" in self.__dict__:
                self.setup_data()

    def fetch(self, selector: Any = slice(None), level: Any = "datetime", *given: Any, **named: Any) -> Any:
        """Return what Qlib's handler returns."""
        self.require(selector if level == "datetime" else slice(None))
        return super().fetch(selector, level, *given, **named)

    def _get_df_by_key(self, data_key: str = handlers.DataHandlerLP.DK_I) -> Any:
        """Return the frame of a key; the first request computes all of them."""
        if "_training_frame" not in self.__dict__:
            self.setup_data()
        return self._training_frame if data_key == self.DK_L else super()._get_df_by_key(data_key)

    def _run_proc_l(
        self,
        df: pd.DataFrame,
        proc_l: list[Any],
        with_fit: bool,  # noqa: FBT001 - Qlib's signature
        check_for_infer: bool,  # noqa: FBT001
    ) -> pd.DataFrame:
        """Run processors as Qlib does; those of a kept model get their state and are not fitted."""
        for step in proc_l:
            state = self._states.get(id(step)) if with_fit else None
            if state is not None:
                restore(step, state, df)
            df = super()._run_proc_l(df, [step], with_fit and state is None, check_for_infer)
        return df

    def process_data(self, with_fit: bool = False) -> None:  # noqa: FBT001, FBT002 - Qlib's signature
        """Process as Qlib does; learn processors that need no features get the labels alone."""
        self._states = kept_states(self) if with_fit else {}
        steps = self.learn_processors
        if not use_labels_only(steps):
            super().process_data(with_fit)
            return
        self.learn_processors = []
        try:
            super().process_data(with_fit)
        finally:
            self.learn_processors = steps
        self._training_frame = self._make_training_frame(self._learn, with_fit=with_fit)

    def _make_training_frame(
        self, whole: pd.DataFrame, *, with_fit: bool
    ) -> pd.DataFrame | LazyTrainingFrame:
        steps = self.learn_processors
        if has_separable_labels(whole):
            labels = self._run_proc_l(labels_of(whole), steps, with_fit, check_for_infer=False)
            return LazyTrainingFrame(whole, labels)
        given = whole if self._is_proc_readonly(steps) else whole.copy()
        found: pd.DataFrame = self._run_proc_l(given, steps, with_fit, check_for_infer=False)
        return found

    @property
    def _learn(self) -> pd.DataFrame:
        """Return the training data as the frame that Qlib keeps under this name."""
        frame = self._training_frame
        return frame.frame() if isinstance(frame, LazyTrainingFrame) else frame

    @_learn.setter
    def _learn(self, frame: pd.DataFrame) -> None:
        self._training_frame = frame

    @staticmethod
    def _is_proc_readonly(steps: list[Any]) -> bool:
        """Return whether the steps leave their input unchanged, as a first step does that copies its rows."""
        own_frame = bool(steps) and isinstance(steps[0], qlibs_processors.DropnaProcessor)
        return own_frame or bool(handlers.DataHandlerLP._is_proc_readonly(steps))  # noqa: SLF001


class Alpha158(_ChosenFactors, handler.Alpha158, DataHandlerLP):  # type: ignore[misc]
    """Qlib's Alpha158 or some of its factors."""


class Alpha158vwap(_ChosenFactors, handler.Alpha158vwap, DataHandlerLP):  # type: ignore[misc]
    """Qlib's Alpha158 or some of its factors, with a label of average prices."""


class Alpha360(handler.Alpha360, DataHandlerLP):  # type: ignore[misc]
    """Qlib's Alpha360."""


class Alpha360vwap(handler.Alpha360vwap, DataHandlerLP):  # type: ignore[misc]
    """Qlib's Alpha360 with a label of average prices."""


def _loader(named: Any) -> Any:
    """Return our loader's path in the place of Qlib's; any other loader stays."""
    if not isinstance(named, dict) or named.get("class") != LOADER["class"]:
        return named
    return {**named, **LOADER} if named.get("module_path") in QLIBS_LOADERS else named


def _processor(named: Any) -> Any:
    """Return our processor's path in the place of Qlib's; any other processor stays."""
    if isinstance(named, str):
        named = {"class": named}
    if not isinstance(named, dict) or named.get("module_path") not in (None, qlibs_processors.__name__):
        return named
    return {**named, "module_path": processors.__name__} if named["class"] in REPLACED_PROCESSORS else named

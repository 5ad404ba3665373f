"""Qlib's handlers over the fast loader: the same arguments, features, labels and processors.

Nothing is computed before somebody asks: a run whose model and predictions are there asks for nothing. Named
in a workflow by class path; plain `qrun` in the same image runs the same file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib.contrib.data import handler
from qlib.data import dataset as data
from qlib.data.dataset import handler as handlers
from qlib.data.dataset import processor as qlibs_processors

from qlib_shadow_runner.plugins import processors
from qlib_shadow_runner.plugins.qlib_handlers import ChosenFactors
from qlib_shadow_runner.plugins.training_data import (
    LazyTrainingFrame,
    TrainingData,
    features_without_copy,
    has_separable_labels,
    labels_of,
    use_labels_only,
)

if TYPE_CHECKING:
    import pandas as pd
    from qlib.data.dataset import DatasetH

    from qlib_shadow_runner.plugins.training_data import Floats

LOADER: Final = {"class": "QlibDataLoader", "module_path": "qlib_shadow_runner.plugins.loader"}
QLIBS_LOADERS: Final = (None, "qlib.data.dataset.loader")
REPLACED_PROCESSORS: Final = frozenset({"CSZScoreNorm", "ProcessInf"})
PROCESSORS: Final = ("shared_processors", "infer_processors", "learn_processors")


class DataHandlerLP(handlers.DataHandlerLP):  # type: ignore[misc]
    """Qlib's handler of own features, whose loader and processors are taken from here where we have them."""

    learn_processors: list[Any]
    _training_frame: pd.DataFrame | LazyTrainingFrame

    def __init__(self, *given: Any, **named: Any) -> None:
        for step in PROCESSORS:
            if step in named:
                named[step] = [_processor(one) for one in named[step]]
        if "data_loader" in named:
            named["data_loader"] = _loader(named["data_loader"])
        super().__init__(*given, **{**named, "init_data": False})

    def _get_df_by_key(self, data_key: str = handlers.DataHandlerLP.DK_I) -> Any:
        """Compute everything before the first look at anything."""
        if "_learned" not in self.__dict__:
            self.setup_data()
        return self._training_frame if data_key == self.DK_L else super()._get_df_by_key(data_key)

    def process_data(self, with_fit: bool = False) -> None:  # noqa: FBT001, FBT002 - Qlib's signature
        """Process as Qlib does; steps that need no features get none."""
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
            return LazyTrainingFrame(
                whole, self._run_proc_l(labels_of(whole), steps, with_fit, check_for_infer=False)
            )
        given = whole if self._is_proc_readonly(steps) else whole.copy()
        found: pd.DataFrame = self._run_proc_l(given, steps, with_fit, check_for_infer=False)
        return found

    @property
    def _learn(self) -> pd.DataFrame:
        """Give what is learnt from as the frame that Qlib has under this name."""
        return (
            self._training_frame.frame()
            if isinstance(self._training_frame, LazyTrainingFrame)
            else self._training_frame
        )

    @_learn.setter
    def _learn(self, frame: pd.DataFrame) -> None:
        self._training_frame = frame

    @staticmethod
    def _is_proc_readonly(steps: list[Any]) -> bool:
        """Spare a copy of the whole where the first step makes a frame of its own."""
        own_frame = bool(steps) and isinstance(steps[0], qlibs_processors.DropnaProcessor)
        return own_frame or bool(handlers.DataHandlerLP._is_proc_readonly(steps))  # noqa: SLF001


class Alpha158(ChosenFactors, handler.Alpha158, DataHandlerLP):  # type: ignore[misc]
    """Qlib's Alpha158, or some of it."""


class Alpha158vwap(ChosenFactors, handler.Alpha158vwap, DataHandlerLP):  # type: ignore[misc]
    """Qlib's Alpha158 with a label of average prices."""


class Alpha360(handler.Alpha360, DataHandlerLP):  # type: ignore[misc]
    """Qlib's Alpha360."""


class Alpha360vwap(handler.Alpha360vwap, DataHandlerLP):  # type: ignore[misc]
    """Qlib's Alpha360 with a label of average prices."""


def training_sets(dataset: DatasetH) -> dict[str, TrainingData]:
    """Give what there is to learn from and to validate with; none where only Qlib knows."""
    if not _plain(dataset):
        return {}
    learned = dataset.handler._get_df_by_key(DataHandlerLP.DK_L)  # noqa: SLF001 - Qlib gives frames alone
    spans = {name: dataset.segments[name] for name in ("train", "valid") if name in dataset.segments}
    if not isinstance(learned, LazyTrainingFrame) or not all(
        isinstance(span, tuple | list) for span in spans.values()
    ):
        return {}
    found = {name: learned.training_data(slice(*span)) for name, span in spans.items()}
    whole = {
        name: training_data
        for name, training_data in found.items()
        if training_data and len(training_data.rows)
    }
    # What is empty or has many labels, Qlib refuses in its own words.
    return whole if "train" in whole and whole.keys() == spans.keys() else {}


def features(dataset: DatasetH, segment: str | slice) -> tuple[Floats, pd.Index]:
    """Give a segment's features and their rows; not a copy of them, where Qlib's `prepare` makes one."""
    span = dataset.segments.get(segment) if isinstance(segment, str) else None
    if _plain(dataset) and isinstance(span, tuple | list):
        found = features_without_copy(dataset.handler._get_df_by_key(DataHandlerLP.DK_I), slice(*span))  # noqa: SLF001
        if found:
            return found
    copied = dataset.prepare(segment, col_set="feature", data_key=DataHandlerLP.DK_I)
    return copied.to_numpy(), copied.index


def _plain(dataset: DatasetH) -> bool:
    """Say whether a dataset asks its handler for nothing but days, and the handler is one of these."""
    plain = type(dataset) is data.DatasetH and not dataset.fetch_kwargs
    return plain and isinstance(dataset.handler, DataHandlerLP)


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
    return {**named, "module_path": processors.__name__} if named["class"] in REPLACED_PROCESSORS else named

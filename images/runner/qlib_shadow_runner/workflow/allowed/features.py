"""What features and labels are made of: handlers, loaders, processors, datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.workflow import class_paths
from qlib_shadow_runner.workflow.allowed.alpha158 import FACTORS
from qlib_shadow_runner.workflow.shapes import (
    BOOLEAN,
    DAY,
    WORD,
    Expression,
    Fields,
    Keys,
    Listed,
    Named,
    Plain,
    Shape,
    exactly,
    number,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING: Final = Keys()
FEATURES: Final = Fields(Expression(may_look_ahead=False))
LABELS: Final = Fields(Expression(may_look_ahead=True), most=1)
INSTRUMENTS: Final = Plain(
    "{{ instruments | tojson }}", lambda value: isinstance(value, str) or _is_filtered_market(value)
)
GROUP: Final = exactly("feature", "label")
GROUPS: Final = Plain(
    '"feature" or "label", or a list of them',
    lambda value: all(GROUP.fits(one) for one in (value if isinstance(value, list) else [value])),
)
GROUPED: Final = Keys({"fields_group": GROUP})
FITTED: Final = Keys({"fields_group": GROUP, "fit_start_time": DAY, "fit_end_time": DAY})
COLUMNS: Final = Listed(WORD, 1, 1_000)
PROCESSOR_MODULE: Final = "qlib.data.dataset.processor"
PROCESSORS: Final = Named(
    "processors",
    {
        (PROCESSOR_MODULE, name): takes
        for name, takes in {
            "DropnaProcessor": GROUPED,
            "DropnaLabel": GROUPED,
            "DropCol": Keys({"col_list": COLUMNS}),
            "FilterCol": Keys({"fields_group": GROUP, "col_list": COLUMNS}),
            "TanhProcess": NOTHING,
            "ProcessInf": NOTHING,
            "Fillna": Keys({"fields_group": GROUP, "fill_value": number(-1e9, 1e9)}),
            "MinMaxNorm": FITTED,
            "ZScoreNorm": FITTED,
            "RobustZScoreNorm": Keys({**FITTED.fields, "clip_outlier": BOOLEAN}),
            # The only one that takes a list of groups.
            "CSZScoreNorm": Keys({"fields_group": GROUPS, "method": exactly("zscore", "robust")}),
            "CSRankNorm": GROUPED,
            "CSZFillna": GROUPED,
        }.items()
    },
    PROCESSOR_MODULE,
)
PROCESSED: Final = Listed(PROCESSORS, 0, 50)
OWN_FIELDS: Final = Keys({"feature": FEATURES, "label": LABELS}, frozenset({"feature", "label"}))
LOADERS: Final = Named(
    "loaders",
    {
        ("qlib.data.dataset.loader", "QlibDataLoader"): Keys(
            {"config": OWN_FIELDS, "freq": exactly("day")}, frozenset({"config"})
        )
    },
    "qlib.data.dataset.loader",
)
TIMES: Final[Mapping[str, Shape]] = {"start_time": DAY, "end_time": DAY, "instruments": INSTRUMENTS}
FITTED_CLASSES: Final = frozenset({"MinMaxNorm", "ZScoreNorm", "RobustZScoreNorm"})
"""Processors whose values follow from the days that they were fitted to."""
FIT_TIMES: Final[Mapping[str, Shape]] = {"fit_start_time": DAY, "fit_end_time": DAY}
STEPS: Final[Mapping[str, Shape]] = {
    "infer_processors": PROCESSED,
    "learn_processors": PROCESSED,
    "process_type": exactly("append", "independent"),
}
READY_MADE: Final = Keys(
    {**TIMES, **FIT_TIMES, **STEPS, "label": LABELS, "freq": exactly("day")},
    frozenset({*TIMES, *FIT_TIMES}),
)
CHOSEN: Final = Keys({**READY_MADE.fields, "features": FACTORS}, READY_MADE.needs)
"""Arguments of our handlers for Alpha158; Qlib's own cannot be given `features`."""
HANDLER_MODULE: Final = "qlib.contrib.data.handler"
OWN_FEATURES: Final = Keys(
    {**TIMES, **STEPS, "shared_processors": PROCESSED, "data_loader": LOADERS},
    frozenset({*TIMES, "data_loader"}),
)
HANDLERS: Final = Named(
    "handlers",
    {
        **{
            (module, name): READY_MADE
            for module in (HANDLER_MODULE, class_paths.HANDLERS)
            for name in ("Alpha158", "Alpha158vwap", "Alpha360", "Alpha360vwap")
        },
        **{(class_paths.HANDLERS, name): CHOSEN for name in ("Alpha158", "Alpha158vwap", "QlibAlpha158")},
        ("qlib.data.dataset.handler", "DataHandlerLP"): OWN_FEATURES,
        (class_paths.HANDLERS, "DataHandlerLP"): OWN_FEATURES,
    },
)
SPAN: Final = Listed(DAY, 2, 2)
SEGMENTS: Final = Keys(dict.fromkeys(("train", "valid", "test"), SPAN), frozenset({"train", "valid", "test"}))
DATASETS: Final = Named(
    "datasets",
    {
        ("qlib.data.dataset", "DatasetH"): Keys(
            {"handler": HANDLERS, "segments": SEGMENTS}, frozenset({"handler", "segments"})
        )
    },
)


def _is_filtered_market(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"market", "filter_pipe"}

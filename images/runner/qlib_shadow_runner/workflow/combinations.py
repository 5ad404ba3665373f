"""Arguments that are allowed one by one, and with which Qlib fails together.

The shapes of the allow-list see one argument at a time. Each rule here looks at several, so that a run is
refused before it computes features for an hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.workflow.allowed.alpha158 import QLIBS_CHOICE, names_of
from qlib_shadow_runner.workflow.read_yaml import refuse
from qlib_shadow_runner.workflow.shapes import class_path_of, expressions_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qlib_shadow_runner.workflow.parsed import Workflow

HANDLER: Final = "workflow.task.dataset.kwargs.handler.kwargs"
MODEL: Final = "workflow.task.model.kwargs"
FOR_INFERENCE: Final = ("shared_processors", "infer_processors")
STEPS: Final = (*FOR_INFERENCE, "learn_processors")
FITTED: Final = frozenset({"MinMaxNorm", "ZScoreNorm", "RobustZScoreNorm"})
FIT_DAYS: Final = ("fit_start_time", "fit_end_time")
FEATURE: Final = "feature"
LABEL: Final = "label"
QLIBS_LABEL: Final = "LABEL0"
"""The name of the label of Qlib's own handlers."""
QLIBS_MODELS: Final = 6
QLIBS_BINS: Final = 5
"""What DEnsembleModel has where a workflow gives none; its shares are as many."""
ALPHA360: Final = [
    f"{name}{day}" for name in ("CLOSE", "OPEN", "HIGH", "LOW", "VWAP", "VOLUME") for day in range(60)
]


def check_combinations(workflow: Workflow) -> None:
    """Refuse a vetted workflow whose arguments do not fit each other."""
    handler = workflow.handler["kwargs"]
    _check_processors(handler, fits_days="data_loader" not in handler)
    _check_columns(workflow)
    if _name(workflow.model) == "DEnsembleModel":
        _check_ensemble(workflow.model["kwargs"])


def _check_processors(handler: Mapping[str, Any], *, fits_days: bool) -> None:
    for step, number, name, given in _processors(handler):
        where = f"{HANDLER}.{step}[{number}]"
        if name == "DropnaLabel" and step in FOR_INFERENCE:
            refuse(
                f"{where} is DropnaLabel, which drops the days that are to be predicted, and Qlib refuses it "
                "there; write it in learn_processors"
            )
        missing = [day for day in FIT_DAYS if day not in given]
        if name in FITTED and missing and not fits_days:
            refuse(
                f"{where}, {name}, lacks {' and '.join(missing)}, which DataHandlerLP does not pass on; "
                "write {{ segments.train[0] }} and {{ segments.train[1] }}"
            )


def _processors(handler: Mapping[str, Any]) -> Iterator[tuple[str, int, str, Mapping[str, Any]]]:
    for step in STEPS:
        for number, processor in enumerate(handler.get(step, [])):
            yield step, number, _name(processor), processor.get("kwargs", {})


def _check_columns(workflow: Workflow) -> None:
    """Refuse processors that leave a model without features, or its training without a label."""
    handler = workflow.handler["kwargs"]
    shared = _apply(handler, "shared_processors", _columns(_name(workflow.handler), handler))
    inferred = _apply(handler, "infer_processors", shared)
    independent = handler.get("process_type", "append") == "independent"
    learned = _apply(handler, "learn_processors", shared if independent else inferred)
    for columns, group in ((inferred, FEATURE), (learned, FEATURE), (learned, LABEL)):
        if not columns[group]:
            refuse(
                f"the processors of {HANDLER} leave no {group}; correct the col_list of DropCol and FilterCol"
            )


def _columns(name: str, handler: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return the names of a handler's columns."""
    if "data_loader" in handler:
        fields = handler["data_loader"]["kwargs"]["config"]
        return {group: _field_names(fields[group]) for group in (FEATURE, LABEL)}
    features = ALPHA360 if name.startswith("Alpha360") else names_of(handler.get("features", QLIBS_CHOICE))
    label = _field_names(handler[LABEL]) if LABEL in handler else {QLIBS_LABEL}
    return {FEATURE: set(features), LABEL: label}


def _field_names(fields: list[Any]) -> set[str]:
    """Return the names of expressions; an expression without one is its own."""
    return set(fields[1] if expressions_in(fields) is not fields else fields)


def _apply(handler: Mapping[str, Any], step: str, columns: Mapping[str, set[str]]) -> dict[str, set[str]]:
    left = dict(columns)
    for processor in handler.get(step, []):
        given = processor.get("kwargs", {})
        listed = set(given.get("col_list", ()))
        if _name(processor) == "DropCol":
            left = {group: names - listed for group, names in left.items()}
        elif _name(processor) == "FilterCol":
            group = given.get("fields_group", FEATURE)
            left[group] = left[group] & listed
    return left


def _check_ensemble(given: Mapping[str, Any]) -> None:
    count, weights = given.get("num_models", QLIBS_MODELS), given.get("sub_weights")
    if weights is not None and len(weights) != count:
        refuse(f"{MODEL}.sub_weights has {len(weights)} weights for {count} models; give each model one")
    bins, ratios = given.get("bins_fs", QLIBS_BINS), given.get("sample_ratios")
    if (QLIBS_BINS if ratios is None else len(ratios)) != bins:
        have = f"Qlib's own {QLIBS_BINS}" if ratios is None else str(len(ratios))
        refuse(f"{MODEL}.sample_ratios has {have} shares for {bins} bins_fs; give each bin one")
    if weights is not None and not weights[0]:
        refuse(f"{MODEL}.sub_weights begins with 0, so that the first model has no loss; begin with another")


def _name(part: Mapping[str, Any]) -> str:
    return class_path_of(part)[1]

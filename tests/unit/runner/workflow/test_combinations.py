"""Arguments with which Qlib would fail together are refused before a run; each was seen to end one."""

from __future__ import annotations

import pytest
from qlib.contrib.data.handler import Alpha158
from qlib.contrib.data.loader import Alpha158DL, Alpha360DL
from tests.unit.runner.workflow.test_allowed_classes_run import (
    ENSEMBLE,
    MODEL,
    NAMED_LABEL,
    NO_ROUNDS,
    OWN,
    SMALL,
    UNNAMED,
)
from tests.unit.runner.workflow.workflow_builders import HANDLER, own

from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow.allowed.alpha158 import QLIBS_CHOICE, names_of
from qlib_shadow_runner.workflow.combinations import ALPHA360
from qlib_shadow_runner.workflow.prepare import render_without_data

LEARN = OWN[OWN.index("          learn_processors") :]
EARLY = ("      early_stopping_rounds: {{ model.early_stopping_rounds }}\n", "")
TRAIN = ("{{ segments.train[0] }}", "{{ segments.train[1] }}")
KWARGS = HANDLER + "        kwargs:\n"


def steps(step: str, *processors: str) -> tuple[str, str]:
    """Return the change of the own handler to other processors."""
    return LEARN, f"          {step}: [{', '.join(processors)}]\n"


def ready_made(step: str, *processors: str) -> tuple[str, str]:
    """Return the change of the built-in handler to other processors."""
    return KWARGS, f"{KWARGS}          {step}: [{', '.join(processors)}]\n"


def ensemble(more: str) -> tuple[tuple[str, str], ...]:
    """Return the changes to an ensemble with more arguments."""
    return (MODEL, ENSEMBLE + more), NO_ROUNDS


HANDLER_PLACE = "workflow.task.dataset.kwargs.handler.kwargs"
REFUSED = {
    "nothing to fit to": (
        (SMALL, steps("infer_processors", "{class: ZScoreNorm}")),
        f"{HANDLER_PLACE}.infer_processors[0], ZScoreNorm, lacks fit_start_time and fit_end_time, which",
    ),
    "half of what to fit to": (
        (SMALL, steps("shared_processors", "{class: MinMaxNorm, kwargs: {fit_start_time: 2020-04-01}}")),
        "shared_processors[0], MinMaxNorm, lacks fit_end_time",
    ),
    "labels needed where there are none": (
        (SMALL, steps("infer_processors", "{class: ProcessInf}", "{class: DropnaLabel}")),
        "infer_processors[1] is DropnaLabel, which drops the days that are to be predicted",
    ),
    "labels needed by all": ((ready_made("shared_processors", "{class: DropnaLabel}"),), 'has "shared_proc'),
    "a list of groups": (
        (SMALL, steps("infer_processors", "{class: CSZFillna, kwargs: {fields_group: [feature]}}")),
        'fields_group is [\'feature\']; it must be "feature" or "label"',
    ),
    "all features dropped": (
        (SMALL, steps("infer_processors", "{class: DropCol, kwargs: {col_list: [A, B, C]}}")),
        f"the processors of {HANDLER_PLACE} leave no feature; correct the col_list",
    ),
    "all features filtered out": (
        (SMALL, steps("infer_processors", "{class: FilterCol}")),
        "leave no feature",
    ),
    "another handler's features": (
        (ready_made("infer_processors", "{class: FilterCol, kwargs: {col_list: [CLOSE59]}}"),),
        "leave no feature",
    ),
    "the label dropped": (
        (SMALL, NAMED_LABEL, steps("learn_processors", "{class: DropCol, kwargs: {col_list: [LABEL0]}}")),
        "leave no label",
    ),
    "the usual label dropped": (
        (ready_made("learn_processors", "{class: DropCol, kwargs: {col_list: [LABEL0]}}"),),
        "leave no label",
    ),
    "too many weights": (
        (SMALL, *ensemble("      sub_weights: [1, 1, 1]\n")),
        "workflow.task.model.kwargs.sub_weights has 3 weights for 2 models",
    ),
    "a first model that does not count": (
        (SMALL, *ensemble("      sub_weights: [0, 1]\n")),
        "sub_weights begins with 0",
    ),
    "too few shares": (
        (SMALL, *ensemble("      bins_fs: 3\n      sample_ratios: [0.8, 0.5]\n")),
        "sample_ratios has 2 shares for 3 bins_fs",
    ),
    "bins without shares": (
        (SMALL, *ensemble("      bins_fs: 3\n")),
        "sample_ratios has Qlib's own 5 shares for 3 bins_fs",
    ),
}
ACCEPTED = {
    "days to fit to": (
        SMALL,
        steps(
            "infer_processors",
            "{class: ZScoreNorm, kwargs: {fit_start_time: "
            + TRAIN[0]
            + ", fit_end_time: "
            + TRAIN[1]
            + " }}",
        ),
    ),
    "days that a ready-made handler passes on": (ready_made("infer_processors", "{class: ZScoreNorm}"),),
    "some features": (ready_made("infer_processors", "{class: FilterCol, kwargs: {col_list: [MIN5]}}"),),
    "groups of the one that takes them": (
        SMALL,
        steps("infer_processors", "{class: CSZScoreNorm, kwargs: {fields_group: [feature]}}"),
    ),
    "a whole ensemble": (
        SMALL,
        UNNAMED,
        *ensemble("      sub_weights: [1, 0]\n      bins_fs: 2\n      sample_ratios: [0.8, 0.5]\n"),
    ),
}


@pytest.mark.parametrize(("changes", "sentence"), REFUSED.values(), ids=REFUSED)
def test_arguments_that_do_not_fit_each_other_are_refused(
    changes: tuple[tuple[str, str], ...], sentence: str
):
    """In one sentence with the place, instead of Qlib's error after the features."""
    with pytest.raises(StageError) as caught:
        render_without_data(parse_spec({}), own(*changes))
    assert sentence in caught.value.message


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_arguments_that_fit_are_accepted(changes: tuple[tuple[str, str], ...]):
    """The rules refuse nothing that works."""
    render_without_data(parse_spec({}), own(*changes))


@pytest.mark.parametrize(
    "features",
    [
        QLIBS_CHOICE,
        {"price": {}, "volume": {}},
        {"volume": {"windows": [3]}, "rolling": {"windows": [7], "include": ["LOW", "CORD", "MA"]}},
        {"price": {"feature": ["CLOSE"], "windows": [1, 2]}, "rolling": {"exclude": ["LOW", "RANK"]}},
    ],
)
def test_names_of_alpha158_are_qlibs(features: dict[str, dict[str, object]]):
    """Column by column, whichever factors are chosen."""
    assert list(names_of(features)) == Alpha158DL.get_feature_config(features)[1]


def test_names_of_the_ready_made_handlers_are_qlibs():
    """Without a choice."""
    assert list(names_of(QLIBS_CHOICE)) == Alpha158.get_feature_config(None)[1]
    assert set(ALPHA360) == set(Alpha360DL.get_feature_config()[1])

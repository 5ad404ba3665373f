"""A template can choose among Alpha158's factors, which Qlib's own handlers cannot do."""

from __future__ import annotations

from typing import Any

import pytest
from qlib.contrib.data.loader import Alpha158DL
from tests.unit.runner.workflow.workflow_builders import PrepareIt, handler, own

from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.plugins.handlers import Alpha158, Alpha158vwap, QlibAlpha158
from qlib_shadow_runner.workflow.allowed.alpha158 import OPERATORS
from qlib_shadow_runner.workflow.parsed import FEATURES_LOOK_BACK

INSTRUMENTS = "          instruments: {{ instruments | tojson }}\n"
SOME: dict[str, Any] = {"kbar": {}, "rolling": {"windows": [5, 7], "include": ["ROC", "CORR"]}}


def choosing(features: str) -> tuple[str, str]:
    """Change the built-in template."""
    return INSTRUMENTS, f"{INSTRUMENTS}          features: {features}\n"


@pytest.mark.parametrize("of", [Alpha158, Alpha158vwap, QlibAlpha158])
def test_columns_of_chosen_factors_are_qlibs(of: Any):
    """Their names, their expressions and their order; without a choice, all 158."""
    assert asked(of, features=SOME) == Alpha158DL.get_feature_config(SOME)
    assert len(asked(of)[1]) == 158


def asked(of: Any, **chosen: Any) -> Any:
    """Return what a handler asks its loader for."""
    made = of(instruments=[], start_time="2020-01-01", end_time="2020-01-02", **chosen)
    return made.data_loader.fields["feature"]


def test_every_rolling_operator_of_qlib_is_listed():
    """Each makes one column in Qlib, and together they make all."""
    for name in OPERATORS:
        assert len(Alpha158DL.get_feature_config({"rolling": {"windows": [5], "include": [name]}})[0]) == 1
    assert len(Alpha158DL.get_feature_config({"rolling": {"windows": [5]}})[0]) == len(OPERATORS)


@pytest.mark.parametrize(
    ("features", "back"),
    [
        ("{kbar: {}}", 0),
        ("{price: {}}", 4),
        ("{rolling: {}}", 60),
        ("{volume: {windows: [0, 9]}, rolling: {windows: [7, 5], exclude: [RANK]}}", 9),
    ],
)
def test_reach_is_the_longest_window_of_the_factors(prepare_it: PrepareIt, features: str, back: int):
    """Not farther: training loses the days before the first."""
    assert prepare_it(template=own(choosing(features))).workflow.reach.back == back
    assert back <= FEATURES_LOOK_BACK["Alpha158"]


REFUSED = {
    "{rollings: {}}": 'features has "rollings", which a shadow run does not take; did you mean "rolling"?',
    "{}": "features names no factors; give it a mapping of kbar, price, volume, rolling, or leave it out",
    "[kbar]": "features is ['kbar']; it must be a mapping of kbar, price, volume, rolling",
    "{kbar: {windows: [1]}}": 'features.kbar has "windows"',
    "{price: {feature: [ADJ]}}": 'feature[0] is \'ADJ\'; it must be "OPEN" or "HIGH"',
    "{volume: {windows: []}}": "features.volume.windows is []; it must be a list of 1 to 100",
    "{volume: {windows: [-1]}}": "windows[0] is -1; it must be a whole number from 0 to 1,000",
    "{rolling: {windows: [1]}}": "windows[0] is 1; it must be a whole number from 2 to 1,000",
    "{rolling: {windows: [5, 5]}}": "features.rolling.windows is [5, 5]; it names something twice",
    "{rolling: {include: [MAA]}}": 'include[0] is \'MAA\'; it must be "ROC" or "MA"',
    "{rolling: {include: [MA], exclude: [MA]}}": "features.rolling leaves no operator; include one",
}


@pytest.mark.parametrize(("features", "sentence"), REFUSED.items(), ids=REFUSED)
def test_impossible_choice_of_factors_is_refused(prepare_it: PrepareIt, features: str, sentence: str):
    """In one sentence, with the place."""
    with pytest.raises(StageError) as caught:
        prepare_it(template=own(choosing(features)))
    assert sentence in caught.value.message
    assert "task.dataset.kwargs.handler.kwargs.features" in caught.value.message


def test_qlibs_own_handlers_take_no_factors(prepare_it: PrepareIt):
    """Qlib would pass the argument on to a class that does not have it."""
    change = handler("qlib.contrib.data.handler.Alpha158")
    with pytest.raises(StageError, match='has "features", which a shadow run does not take'):
        prepare_it(template=own(choosing("{kbar: {}}"), change))


def test_factors_are_checked_in_plain_qrun_also():
    """Plain qrun does not vet the file."""
    with pytest.raises(StageError, match='the handler\'s features has "rollings"'):
        Alpha158(instruments=[], start_time="2020-01-01", end_time="2020-01-02", features={"rollings": {}})

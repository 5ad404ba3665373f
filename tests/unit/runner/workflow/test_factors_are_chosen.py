"""A template says which of Alpha158's factors it wants, which Qlib's own handlers cannot be told."""

from __future__ import annotations

from typing import Any

import pytest
from qlib.contrib.data.loader import Alpha158DL
from tests.unit.runner.workflow.workflow_builders import PrepareIt, handler, own

from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.plugins.handlers import Alpha158, Alpha158vwap, QlibAlpha158
from qlib_shadow_runner.workflow.allowed.alpha158 import OPERATORS
from qlib_shadow_runner.workflow.parts import FEATURES_LOOK_BACK

INSTRUMENTS = "          instruments: {{ instruments | tojson }}\n"
SOME: dict[str, Any] = {"kbar": {}, "rolling": {"windows": [5, 7], "include": ["ROC", "CORR"]}}


def choosing(features: str) -> tuple[str, str]:
    """Change the built-in template."""
    return INSTRUMENTS, f"{INSTRUMENTS}          features: {features}\n"


@pytest.mark.parametrize("of", [Alpha158, Alpha158vwap, QlibAlpha158])
def test_columns_are_qlibs(of: Any):
    """Their names, their expressions and their order; without a choice, all 158."""
    assert asked(of, features=SOME) == Alpha158DL.get_feature_config(SOME)
    assert len(asked(of)[1]) == 158


def asked(of: Any, **chosen: Any) -> Any:
    """Give what a handler asks its loader for."""
    made = of(instruments=[], start_time="2020-01-01", end_time="2020-01-02", **chosen)
    return made.data_loader.fields["feature"]


def test_every_operator_is_known():
    """One column each, or Qlib has gained or lost one; and none is left out."""
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
def test_a_run_reaches_back_as_far_as_its_longest_window(prepare_it: PrepareIt, features: str, back: int):
    """No farther: days before the first are lost to training."""
    assert prepare_it(template=own(choosing(features))).reach.back == back
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
def test_a_choice_that_cannot_be_made_is_refused(prepare_it: PrepareIt, features: str, sentence: str):
    """In one sentence, with the place."""
    with pytest.raises(StageError) as caught:
        prepare_it(template=own(choosing(features)))
    assert sentence in caught.value.message
    assert "task.dataset.kwargs.handler.kwargs.features" in caught.value.message


def test_qlibs_own_handlers_take_no_choice(prepare_it: PrepareIt):
    """Qlib would hand it on to what does not know it."""
    change = handler("qlib.contrib.data.handler.Alpha158")
    with pytest.raises(StageError, match='has "features", which a shadow run does not take'):
        prepare_it(template=own(choosing("{kbar: {}}"), change))


def test_plain_qrun_is_told_too():
    """There nobody has looked at the file before."""
    with pytest.raises(StageError, match='the handler\'s features has "rollings"'):
        Alpha158(instruments=[], start_time="2020-01-01", end_time="2020-01-02", features={"rollings": {}})

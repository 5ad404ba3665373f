"""What makes two runs ask for the same model."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

import pytest

from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.training.recipe import Origin, recipe_of

ORIGIN = Origin("/data/qlib/qlib_data/us", "prices inbox/us.parquet", "us", "all")
BOOSTED = {"class": "LGBModel", "kwargs": {"loss": "mse", "lambda_l1": 20.5, "num_threads": 2}}
HANDLER = {
    "class": "Alpha158",
    "kwargs": {
        "start_time": date(2015, 1, 2),
        "fit_end_time": "2020-01-02",
        "instruments": "all",
        "label": ["$close"],
    },
}


def recipe(
    workflow: dict[str, Any] | None = None,
    *,
    template: str = "template",
    model: dict[str, Any] = BOOSTED,
    handler: dict[str, Any] = HANDLER,
    origin: Origin = ORIGIN,
) -> str:
    """Return the hash of a manifest's recipe."""
    asked = parse_spec({"workflow": workflow or {}}).workflow
    return recipe_of(asked, template, model, handler, origin).sha256


def kwargs(part: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Return a part of a workflow with other arguments."""
    return part | {"kwargs": part["kwargs"] | values}


OPEN = {"train": [None, "2018-01-02"], "valid": [None, None], "test": ["2019-02-01", None]}


@pytest.mark.parametrize(
    "change",
    [
        {"workflow": {"strategy": {"topk": 7}}},
        {"workflow": {"exchange": {"openCost": 0.001}}},
        {"workflow": {"signalsFormat": "csv"}},
        {"workflow": {"retrain": {"everyDays": 3}}},
        {"workflow": {"benchmark": "SPY"}},
        {"model": kwargs(BOOSTED, lambda_l1=21.0, num_threads=16)},
        {"handler": kwargs(HANDLER, start_time=date(2016, 1, 4), fit_end_time="2021-01-04")},
        {"handler": kwargs(HANDLER, instruments=["A", "B"])},
    ],
)
def test_what_the_model_does_not_follow_from_is_no_part_of_the_recipe(change: dict[str, Any]):
    """The portfolio may be changed, and the next night's days are others."""
    assert recipe(**change) == recipe()


@pytest.mark.parametrize(
    "change",
    [
        {"workflow": {"seed": 8}},
        {"workflow": {"live": "Evaluated"}},
        {"workflow": {"model": {"num_leaves": 31}}},
        {"workflow": {"window": {"train": "8y"}}},
        {"workflow": {"segments": OPEN}},
        {"template": "other"},
        {"model": kwargs(BOOSTED, loss="binary")},
        {"handler": kwargs(HANDLER, label=["Ref($close, -20)"])},
        {"origin": dataclasses.replace(ORIGIN, path="/data/qlib/qlib_data/eu")},
        {"origin": dataclasses.replace(ORIGIN, feed="synthetic")},
        {"origin": dataclasses.replace(ORIGIN, market="sp500")},
    ],
)
def test_what_the_model_follows_from_makes_another_recipe(change: dict[str, Any]):
    """Nothing else is asked of a model that is kept."""
    assert recipe(**change) != recipe()


def test_fixed_days_are_part_of_the_recipe_as_they_are_written():
    """Those that the model learns from; an open end is the same every night, and test decides nothing."""
    fixed = recipe({"segments": OPEN})
    assert recipe({"segments": OPEN | {"test": ["2020-02-03", None]}}) == fixed
    assert recipe({"segments": OPEN | {"train": ["2010-01-04", "2018-01-02"]}}) != fixed

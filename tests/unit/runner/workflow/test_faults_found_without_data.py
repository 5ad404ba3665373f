"""What no dataset can make right is refused without one; what the data decides is left to the data."""

from __future__ import annotations

import pytest

from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow.prepare import check_without_data
from qlib_shadow_runner.workflow.templates import read_template

TEMPLATE = read_template("lightgbm-alpha158")
MINE = {"configMapRef": {"name": "mine"}}
OF_ONE_DATASET = {
    "days": (("start_time: {{ segments.train[0] }}", "start_time: 2024-01-01"),),
    "an end that other data lies behind": (("end_time: {{ segments.test[1] }}", "end_time: 2015-06-30"),),
    "a market": (("instruments: {{ instruments | tojson }}", "instruments: csi300"),),
    "a benchmark": (("benchmark: {{ benchmark | tojson }}", "benchmark: SH000300"),),
}


@pytest.mark.parametrize("changes", OF_ONE_DATASET.values(), ids=OF_ONE_DATASET.keys())
def test_template_for_one_dataset_is_not_refused(changes: tuple[tuple[str, str], ...]):
    """Its values are right for the data that it was written for, which is not there yet."""
    text = TEMPLATE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    check_without_data(parse_spec({"workflow": MINE}), text)


@pytest.mark.parametrize(
    "segments",
    [
        [["2020-01-04", "2020-01-05"], ["2020-01-11", "2020-01-12"], ["2020-02-01", "2020-02-01"]],
        [["1930-01-01", "1931-01-01"], ["1932-01-01", "1932-01-01"], ["1933-01-01", "1933-01-01"]],
    ],
    ids=["weekends", "another century"],
)
def test_days_are_left_to_the_dataset(segments: list[list[str]]):
    """Some markets trade on Saturdays."""
    asked = dict(zip(("train", "valid", "test"), segments, strict=True))
    check_without_data(parse_spec({"workflow": {"segments": asked}}), None)


def test_template_that_only_the_next_stage_gets_is_left_to_it():
    """An operator of an earlier version gives it to no other."""
    check_without_data(parse_spec({"workflow": MINE}), None)


def test_unknown_parameter_is_refused_with_its_line():
    """Whatever the dataset will be."""
    text = TEMPLATE.replace("seed: {{ seed }}", "seed: {{ seeed }}")
    with pytest.raises(StageError, match="seeed"):
        check_without_data(parse_spec({"workflow": MINE}), text)

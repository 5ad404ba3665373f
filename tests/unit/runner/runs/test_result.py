"""A result is cut to fit into a termination message."""

from __future__ import annotations

import json

import pytest

from qlib_shadow_runner.contract import TERMINATION_MESSAGE_BYTES, DatasetResult, Reason, Result
from qlib_shadow_runner.errors import EXIT_CODES
from qlib_shadow_runner.runs.result import ELLIPSIS, now, termination_message


def result(message: str, dataset: DatasetResult | None = None) -> Result:
    """Make a result with a message."""
    made = Result(stage="qrun", runId="r", reason="Succeeded", message=message, exitCode=0)
    if dataset:
        made["dataset"] = dataset
    return made


def test_a_short_result_is_the_whole_termination_message():
    """Nothing is cut without need."""
    assert json.loads(termination_message(result("fine"))) == result("fine")


@pytest.mark.parametrize("letter", ["x", "ü", "😀", '"', "\\", "\n"])
def test_a_long_message_is_cut_to_the_limit_by_bytes(letter: str):
    """Whatever the size of its letters once encoded."""
    content = termination_message(result(letter * 9000))
    shortened = json.loads(content)
    assert TERMINATION_MESSAGE_BYTES - 20 <= len(content) <= TERMINATION_MESSAGE_BYTES
    assert shortened["message"].endswith(ELLIPSIS)
    assert {key: shortened[key] for key in ("stage", "runId", "exitCode")} == {
        "stage": "qrun",
        "runId": "r",
        "exitCode": 0,
    }


def test_the_dataset_is_left_out_before_the_reason():
    """Even a path that is too long leaves a message that can be parsed."""
    content = termination_message(result("m", dataset=DatasetResult(path="/data/" + "x" * 9000)))
    assert len(content) <= TERMINATION_MESSAGE_BYTES
    assert json.loads(content)["reason"] == "Succeeded"


def test_every_reason_has_an_exit_code():
    """A new reason needs one."""
    assert set(EXIT_CODES) == set(Reason)


def test_times_are_in_utc_with_a_time_zone():
    """Whatever the time zone of the machine."""
    assert now().endswith("Z")

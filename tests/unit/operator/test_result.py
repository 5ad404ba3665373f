"""Parsing termination messages, which any image may write."""

from __future__ import annotations

import json

import pytest
from tests.unit.operator.builders import DATASET, METRICS, UID, result

from qlib_shadow_operator.runs.stage_result import MalformedResultError, parse_result
from qlib_shadow_runner.contract import Stage

GARBAGE = {
    "": "it is empty",
    " \n": "it is empty",
    "Traceback (most recent call last):": "it is not JSON",
    "[" * 100_000: "it is not JSON",
    "[1]": "it is not a JSON object",
    "null": "it is not a JSON object",
    "{}": "it is of stage 'None', not of qrun",
    json.dumps({"stage": "download"}): "it is of stage 'download', not of qrun",
    result(Stage.QRUN, uid="other"): "it is of another run",
    json.dumps({"stage": "qrun", "uid": UID}): "it has no reason",
    result(Stage.QRUN, reason=3): "reason is not text",  # type: ignore[arg-type]
    result(Stage.QRUN, dataset=[1]): "dataset, metrics, model and ledger must be objects",
    result(Stage.QRUN, dataset={"path": 1}): "path is not of type str",
    result(Stage.QRUN, metrics={"ic": "high"}): "ic is not of type float",
    result(Stage.QRUN, metrics={"ic": True}): "ic is not of type float",
    result(Stage.QRUN, metrics={"ic": float("nan")}): "ic is nan",
    result(Stage.QRUN, metrics={"ic": float("inf")}): "ic is inf",
    result(Stage.QRUN, dataset={"days": 1.5}): "days is 1.5",
    result(Stage.QRUN, model={"kept": 1}): "kept is not of type bool",
    result(Stage.QRUN, model={"kept": "yes"}): "kept is not of type bool",
    result(Stage.QRUN, model={"ageDays": True}): "ageDays is not of type int",
    result(Stage.QRUN, configHash=["x"]): "configHash is not text",
}


@pytest.mark.parametrize(("message", "fault"), GARBAGE.items(), ids=lambda text: str(text)[:40])
def test_malformed_result_says_what_is_wrong(message: str, fault: str):
    """One sentence, no traceback."""
    with pytest.raises(MalformedResultError, match="^" + fault.replace("(", r"\(")):
        parse_result(message, stage=Stage.QRUN, uid=UID)


def test_well_formed_result_is_parsed():
    """Everything that the status shows."""
    model = {"kept": False, "ageDays": 3, "liveIc": 0.04, "drift": "none", "decay": "d" * 99}
    found = parse_result(result(Stage.QRUN, gitCommit="abc", model=model), stage=Stage.QRUN, uid=UID)
    assert dict(found.model) == model | {"decay": "d" * 10 + " … ddd"}
    assert found.succeeded
    assert (dict(found.dataset), dict(found.metrics)) == (DATASET, METRICS)
    assert (found.config_hash, found.git_commit) == ("c0ffee", "abc")


def test_unknown_fields_of_a_newer_runner_are_ignored():
    """An old operator works with a new image."""
    text = result(Stage.QRUN, metrics={"ic": 1, "novelty": 2}, surprise="!")
    assert dict(parse_result(text, stage=Stage.QRUN, uid=UID).metrics) == {"ic": 1.0}

"""The table of drift and decay, of metadata as runs write them and as others may have left them."""

from __future__ import annotations

from typing import Any

import pytest

from qlib_shadow_runner.analysis.model_state import state_rows

DRIFT: dict[str, Any] = {
    "state": "drifting",
    "features": 3.1,
    "scores": 0.5,
    "turnover": None,
    "limits": {"features": 2.5, "scores": 2.0, "turnover": 2.0},
    "worst": [{"feature": "KMID", "value": 3.1}, {"feature": "ROC5", "value": 1.0}],
}
DECAY: dict[str, Any] = {"state": "decayed", "live_ic": 0.02, "days": 90, "promised_ic": 0.05}


def test_rows_tell_value_limit_and_state():
    """Each measure has its own state."""
    rows = state_rows({"drift": DRIFT, "decay": DECAY | {"statistic": 3.0, "limit": 2.3}})
    assert [row.state for row in rows] == ["drifting", "none", "unknown", "decayed"]
    assert (rows[0].value, rows[0].limit, rows[0].note) == (3.1, 2.5, "farthest: KMID, ROC5")
    assert rows[3].note == "live IC 0.0200 on 90 days, promised 0.0500"


def test_older_runs_have_no_table():
    """They know nothing of it."""
    assert state_rows({"drift": None}) == []


@pytest.mark.parametrize(
    "wrong", ["x", [], {}, True, 10**400, float("nan"), {"features": {}}, None], ids=type
)
def test_values_of_other_types_are_missing(wrong: object):
    """A page is made all the same."""
    keys = (*DRIFT, "why", "gave_up", "statistic", "limit", "live_ic", "days", "promised_ic")
    for key in keys:
        state_rows({"drift": DRIFT | {key: wrong}, "decay": DECAY | {key: wrong}})
    rows = state_rows({"drift": dict.fromkeys(DRIFT, wrong), "decay": {"state": wrong}})
    assert {row.state for row in rows} <= {"unknown", "none"}

"""NetworkPolicies: which pods they select, and which egress they allow together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.operator.builders import UID

from qlib_shadow_operator.runs.names import child_labels
from qlib_shadow_operator.runs.network import egress_is_closed
from qlib_shadow_runner.contract import Stage

QRUN = child_labels("demo", UID, Stage.QRUN)
OURS: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[3] / "manifests/network-policy/qrun.yaml").read_text()
)


def policy(selector: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a policy that closes egress by default."""
    return {"spec": {"podSelector": selector or {}, "policyTypes": ["Egress"], **spec}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    """Return a selector with one expression."""
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


STAGE = "qlibshadow.io/stage"
CASES: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "no policy at all": ([], False),
    "the project's own": ([OURS], True),
    "a default for the whole namespace": ([policy()], True),
    "one of other pods": ([policy({"matchLabels": {"app": "web"}})], False),
    "one that is about ingress alone": ([policy(policyTypes=["Ingress"])], False),
    "one that lets something out": ([policy(egress=[{"to": []}])], False),
    "one that closes and one that opens": ([OURS, policy(egress=[{}])], False),
    "one that opens for other pods": ([OURS, policy({"matchLabels": {"app": "web"}}, egress=[{}])], True),
    "an expression that selects": ([policy(expression(STAGE, "In", "qrun", "x"))], True),
    "an expression that does not": ([policy(expression(STAGE, "NotIn", "qrun"))], False),
    "an expression about presence": ([policy(expression(STAGE, "Exists"))], True),
    "an expression about absence": ([policy(expression(STAGE, "DoesNotExist"))], False),
}


@pytest.mark.parametrize(("policies", "closed"), CASES.values(), ids=CASES.keys())
def test_egress_is_closed(policies: list[dict[str, Any]], *, closed: bool):
    """For each combination of policies."""
    assert egress_is_closed(policies, QRUN) is closed


def test_own_policy_does_not_select_the_download():
    """The project's own policy selects only the training."""
    assert not egress_is_closed([OURS], child_labels("demo", UID, Stage.DOWNLOAD))

"""Whether NetworkPolicies block all egress of a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qlib_shadow_operator.runs.model import Document


def egress_is_closed(policies: Iterable[Document], labels: Mapping[str, str]) -> bool:
    """Return whether a policy blocks egress of pods with these labels, and no other policy allows any."""
    chosen = [policy["spec"] for policy in policies if _selects(policy["spec"].get("podSelector"), labels)]
    limiting = [spec for spec in chosen if "Egress" in spec.get("policyTypes", ())]
    return bool(limiting) and not any(spec.get("egress") for spec in limiting)


def _selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    found = selector or {}
    equal = (found.get("matchLabels") or {}).items() <= labels.items()
    return equal and all(_matches_expression(one, labels) for one in found.get("matchExpressions") or ())


def _matches_expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    holds = {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }
    return holds.get(expression["operator"], False)

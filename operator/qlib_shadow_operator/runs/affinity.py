"""The affinity of a stage's pod: what the installer requires still holds beside what the run has chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_operator.runs.model import Document

NODES: Final = "nodeAffinity"
PODS: Final = ("podAffinity", "podAntiAffinity")
REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
TERMS: Final = "nodeSelectorTerms"
EXPRESSIONS: Final = "matchExpressions"


def merged(chosen: Document | None, base: Document | None) -> dict[str, Any] | None:
    """Return both affinities as one, without empty parts, or None.

    A pod must meet what either requires. Of preferences the run's replace the installer's, part by part.
    """
    own, given = chosen or {}, base or {}
    parts = {NODES: _nodes(own.get(NODES) or {}, given.get(NODES) or {})}
    parts |= {name: _pods(own.get(name) or {}, given.get(name) or {}) for name in PODS}
    return {name: part for name, part in parts.items() if part} or None


def _nodes(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return one requirement: a node meets it if it meets a term of each side."""
    ours, theirs = (list((one.get(REQUIRED) or {}).get(TERMS) or ()) for one in (own, given))
    both = [
        {EXPRESSIONS: [*(first.get(EXPRESSIONS) or ()), *(second.get(EXPRESSIONS) or ())]}
        for first in theirs
        for second in ours
    ]
    terms = both or theirs or ours
    return _part({TERMS: terms} if terms else None, own, given)


def _pods(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the terms about other pods, of which all must hold."""
    return _part([*(given.get(REQUIRED) or ()), *(own.get(REQUIRED) or ())], own, given)


def _part(required: Any, own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    preferred = list(own.get(PREFERRED) or given.get(PREFERRED) or ())
    found = {REQUIRED: required, PREFERRED: preferred}
    return {name: value for name, value in found.items() if value}

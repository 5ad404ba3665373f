"""The settings of a stage's pod: the operator's defaults, and what the run has chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_operator.runs.affinity import merged
from qlib_shadow_runner.contract.fields import defaulted
from qlib_shadow_runner.contract.kinds import Map, Text, TextCheck, matches
from qlib_shadow_runner.contract.spec.pods import (
    IDENTITY_KEYS,
    LABEL_KEY,
    MARKS_MAX,
    OWN_KEYS,
    OpenPodSettings,
    annotations_field,
    begins_with_none,
    labels_field,
)
from qlib_shadow_runner.contract.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_operator.runs.model import Run
    from qlib_shadow_runner.contract import Stage
    from qlib_shadow_runner.contract.spec.pods import PodSettings

OWN_VARIABLES: Final = ("TZ", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""Variables that other settings of the operator are for."""
VARIABLE: Final = Text(
    128,
    (
        matches("[A-Za-z_][A-Za-z0-9_]*", "must be the name of a variable: letters, digits and _"),
        TextCheck(
            "has a setting of its own, or belongs to qlib-shadow; leave it out",
            lambda name: name not in OWN_VARIABLES and not name.startswith("QLIB_SHADOW_"),
            unlike=f"^(({'|'.join(OWN_VARIABLES)})$|QLIB_SHADOW_)",
        ),
    ),
)
MARK_KEY: Final = Text(
    317,
    (
        *LABEL_KEY.checks,
        begins_with_none(
            OWN_KEYS, "is reserved: qlib-shadow, Kueue or the Job controller sets it; leave it out"
        ),
    ),
)
"""The key of a label or annotation that the installer can set, also to keep a webhook out of the pods."""


@dataclass(frozen=True)
class PodDefaults(OpenPodSettings):
    """What the installer gives to the pods of every run: more marks and variables than a run may choose."""

    labels: Mapping[str, str] = labels_field(MARK_KEY)
    annotations: Mapping[str, str] = annotations_field(MARK_KEY)
    env: Mapping[str, str] = defaulted(
        Map(Text(1024, least=0), MARKS_MAX, VARIABLE), "Variables of the download stage.", {}
    )


def settings_of(run: Run, stage: Stage, base: PodDefaults) -> OpenPodSettings:
    """Return the settings of a stage's pod; a closed one has no account, no identity and no variables.

    Names are merged, with the run's value first; lists of tolerations are joined, and so is what an affinity
    requires; the rest is replaced.
    """
    chosen: PodSettings = run.spec.stages.of(stage)
    account, env = None, {}
    labels = {**base.labels, **chosen.labels}
    annotations = {**base.annotations, **chosen.annotations}
    if STAGES[stage].is_closed:
        labels, annotations = without_identity(labels), without_identity(annotations)
    elif isinstance(chosen, OpenPodSettings):
        account = chosen.service_account_name or base.service_account_name
        env = {**base.env, **chosen.env}
    return OpenPodSettings(
        node_selector={**base.node_selector, **chosen.node_selector},
        tolerations=(*base.tolerations, *chosen.tolerations),
        affinity=merged(chosen.affinity, base.affinity),
        topology_spread_constraints=chosen.topology_spread_constraints or base.topology_spread_constraints,
        priority_class_name=chosen.priority_class_name or base.priority_class_name,
        runtime_class_name=chosen.runtime_class_name or base.runtime_class_name,
        labels=labels,
        annotations=annotations,
        service_account_name=account,
        env=env,
    )


def without_identity(marks: Mapping[str, str]) -> dict[str, str]:
    """Return the labels or annotations that give a pod no cloud's identity."""
    return {key: value for key, value in marks.items() if not key.startswith(IDENTITY_KEYS)}


def placement(settings: OpenPodSettings) -> dict[str, Any]:
    """Return the fields of a pod's spec that say where it runs, as far as they are set."""
    found = {
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [dict(one) for one in settings.tolerations],
        "affinity": settings.affinity,
        "topologySpreadConstraints": [dict(one) for one in settings.topology_spread_constraints],
        "priorityClassName": settings.priority_class_name,
        "runtimeClassName": settings.runtime_class_name,
    }
    return {name: value for name, value in found.items() if value}

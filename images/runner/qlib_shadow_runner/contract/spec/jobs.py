"""The table of the fields that say how a run's Jobs are run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import Stage
from qlib_shadow_runner.contract.fields import Given, Record, defaulted, optional, part, required
from qlib_shadow_runner.contract.kinds import Choice, Listed, Map, Quantity, Text, Whole
from qlib_shadow_runner.contract.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME: Final = Text(253)
"""Of an object in Kubernetes."""


@dataclass(frozen=True)
class Resources(Record):
    """What a stage's container may use."""

    requests: Mapping[str, Any] = defaulted(Map(Quantity(), 8), "What is reserved.", {})
    limits: Mapping[str, Any] = defaulted(Map(Quantity(), 8), "What is not exceeded.", {})


@dataclass(frozen=True)
class Toleration(Record):
    """A taint that does not keep a stage away."""

    key: str | None = optional(Text(317, least=0), "The taint's key; empty is all.")
    operator: str | None = optional(Choice(("Exists", "Equal")), "How the value is compared. Default: Equal.")
    value: str | None = optional(Text(63, least=0), "The taint's value.")
    effect: str | None = optional(
        Choice(("NoSchedule", "PreferNoSchedule", "NoExecute")), "The taint's effect; empty is all."
    )
    toleration_seconds: int | None = optional(Whole(-(2**31), 2**31 - 1), "How long NoExecute is tolerated.")


@dataclass(frozen=True)
class StageSpec(Record):
    """What a run says of one stage's Job; None leaves it to the operator's settings."""

    resources: Mapping[str, Any] | None = optional(
        Given(Resources),
        "Requests and limits of the container, which replace the operator's defaults altogether.",
    )
    node_selector: Mapping[str, str] = defaulted(
        Map(Text(63, least=0), 16), "Labels of the nodes that may run the stage.", {}
    )
    tolerations: tuple[Mapping[str, Any], ...] = defaulted(
        Listed(Given(Toleration), 16, "tolerations"), "Taints of nodes that do not keep the stage away.", ()
    )
    active_deadline_seconds: int | None = optional(
        Whole(1, 30 * 86_400),
        "Longest time of the stage, all attempts together. Default: the operator's setting.",
    )
    retries: int | None = optional(
        Whole(0, 20),
        "How often a failed attempt is repeated. Errors of the spec and of the data are never repeated, and "
        "disruptions by the cluster do not count. Default: the operator's setting, 2.",
    )


@dataclass(frozen=True)
class StagesSpec(Record):
    """What a run says of each stage's Job."""

    download: StageSpec = part(StageSpec, f"The stage that {STAGES[Stage.DOWNLOAD].does}.")
    qrun: StageSpec = part(StageSpec, f"The stage that {STAGES[Stage.QRUN].does}.")

    def of(self, stage: Stage) -> StageSpec:
        """Return what is said of a stage."""
        found: StageSpec = getattr(self, stage)
        return found


@dataclass(frozen=True)
class StorageSpec(Record):
    """The volume that holds datasets and artifacts."""

    claim_name: str | None = optional(
        NAME,
        "PersistentVolumeClaim in the run's namespace, mounted at /data. Default: the operator's setting, "
        "qlib-shadow-data.",
    )


@dataclass(frozen=True)
class ImagePullSecret(Record):
    """A Secret with credentials of a registry."""

    name: str = required(NAME, "Name of the Secret.")

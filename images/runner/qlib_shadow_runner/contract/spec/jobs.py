"""spec.stages, spec.storage and the image: how the Jobs are run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.contract.fields import Given, Record, defaulted, optional, part, required
from qlib_shadow_runner.contract.kinds import NAME, Choice, ListOf, Map, Quantity, Text, Whole, matches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.contract import Stage


@dataclass(frozen=True)
class Resources(Record):
    """The resources of a stage's container."""

    requests: Mapping[str, Any] = defaulted(Map(Quantity(), 8), "What is reserved.", {})
    limits: Mapping[str, Any] = defaulted(Map(Quantity(), 8), "What is not exceeded.", {})


@dataclass(frozen=True)
class Toleration(Record):
    """A toleration of a stage's pod."""

    key: str | None = optional(Text(317, least=0), "The taint's key; empty is all.")
    operator: str | None = optional(Choice(("Exists", "Equal")), "How the value is compared. Default: Equal.")
    value: str | None = optional(Text(63, least=0), "The taint's value.")
    effect: str | None = optional(
        Choice(("NoSchedule", "PreferNoSchedule", "NoExecute")), "The taint's effect; empty is all."
    )
    toleration_seconds: int | None = optional(Whole(-(2**31), 2**31 - 1), "How long NoExecute is tolerated.")


@dataclass(frozen=True)
class StageSpec(Record):
    """The settings of one stage's Job; None means the operator's setting."""

    resources: Mapping[str, Any] | None = optional(
        Given(Resources),
        "Requests and limits of the container, which replace the operator's defaults altogether.",
    )
    scratch: str | None = optional(
        Text(24, (matches("[1-9][0-9]{0,17}([MGTPE]i?|Ki|k)?", "must be a size such as 8Gi"),)),
        "Size of each of the stage's scratch folders, /work and /tmp, which are deleted with the pod. A pod "
        "that uses more is ended by its node. Default: the operator's setting, 4Gi.",
    )
    node_selector: Mapping[str, str] = defaulted(
        Map(Text(63, least=0), 16), "Labels of the nodes that may run the stage.", {}
    )
    tolerations: tuple[Mapping[str, Any], ...] = defaulted(
        ListOf(Given(Toleration), 16, "tolerations"), "Taints of nodes that do not keep the stage away.", ()
    )
    active_deadline_seconds: int | None = optional(
        Whole(1, 30 * 86_400),
        "Longest time of the stage, all attempts together. Default: the operator's setting. Without a "
        "cluster: of each attempt, by default 3600 for download and 14400 for qrun.",
    )
    retries: int | None = optional(
        Whole(0, 20),
        "How often a failed attempt is repeated. Errors of the spec and of the data are never repeated, and "
        "disruptions by the cluster do not count. Default: the operator's setting, 2.",
    )


@dataclass(frozen=True)
class StagesSpec(Record):
    """The settings of each stage's Job."""

    download: StageSpec = part(StageSpec, "The stage that provides and verifies the dataset.")
    qrun: StageSpec = part(StageSpec, "The stage that trains, predicts, backtests and reports.")

    def of(self, stage: Stage) -> StageSpec:
        """Return the settings of a stage."""
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
    """A Secret with credentials for a registry."""

    name: str = required(NAME, "Name of the Secret.")

"""spec.stages, spec.storage and the image: how the Jobs are run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.contract.fields import Given, Record, defaulted, optional, part, required
from qlib_shadow_runner.contract.kinds import NAME, Map, Quantity, Text, Whole, matches
from qlib_shadow_runner.contract.spec.pods import (
    CLOSED_MARK_KEY,
    OpenPodSettings,
    PodSettings,
    annotations_field,
    labels_field,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.contract import Stage


@dataclass(frozen=True)
class Resources(Record):
    """The resources of a stage's container."""

    requests: Mapping[str, Any] = defaulted(Map(Quantity(), 8), "What is reserved.", {})
    limits: Mapping[str, Any] = defaulted(Map(Quantity(), 8), "What is not exceeded.", {})


@dataclass(frozen=True)
class StageSpec(PodSettings):
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
    active_deadline_seconds: int | None = optional(
        Whole(1, 30 * 86_400),
        "Longest time of the stage, all attempts together. Default: the operator's setting. Without a "
        "cluster: of each attempt, by default 3600 for download, 14400 for qrun and 1800 for ledger.",
    )
    retries: int | None = optional(
        Whole(0, 20),
        "How often a failed attempt is repeated. Errors of the spec and of the data are never repeated, and "
        "disruptions by the cluster do not count. Default: the operator's setting, 2.",
    )


@dataclass(frozen=True)
class OpenStageSpec(StageSpec, OpenPodSettings):
    """The settings of the Job of a stage that reaches the network."""


@dataclass(frozen=True)
class ClosedStageSpec(StageSpec):
    """The settings of the Job of a stage that reaches no network, and is given no identity."""

    labels: Mapping[str, str] = labels_field(CLOSED_MARK_KEY)
    annotations: Mapping[str, str] = annotations_field(CLOSED_MARK_KEY)


@dataclass(frozen=True)
class StagesSpec(Record):
    """The settings of each stage's Job."""

    download: OpenStageSpec = part(OpenStageSpec, "The stage that provides and verifies the dataset.")
    qrun: StageSpec = part(ClosedStageSpec, "The stage that trains, predicts, backtests and reports.")
    ledger: StageSpec = part(ClosedStageSpec, "The stage that records what the signals would have done.")

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

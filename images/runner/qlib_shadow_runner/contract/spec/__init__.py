"""The table of fields: every field of a QlibShadowRun's spec, described once.

The CRD, docs/api.md, the runner's checks and the operator's reader are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from qlib_shadow_runner.contract.fields import Object, Reader, Record, defaulted, fields_of, optional, part
from qlib_shadow_runner.contract.kinds import Choice, Flag, ListOf, Text, Whole, matches
from qlib_shadow_runner.contract.place import Place
from qlib_shadow_runner.contract.spec.dataset import DatasetFields
from qlib_shadow_runner.contract.spec.jobs import ImagePullSecret, StagesSpec, StorageSpec
from qlib_shadow_runner.contract.spec.ledger import LedgerSpec
from qlib_shadow_runner.contract.spec.run_ids import RUN_ID
from qlib_shadow_runner.contract.spec.workflow import WorkflowSpec

SERIES: Final = Text(
    63,
    (
        matches(
            "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
            'must be lower-case letters, digits and "-", and begin and end with a letter or digit, for '
            "example us-nightly",
        ),
    ),
)


def run_id_fault(run_id: str) -> str | None:
    """Return what is wrong with a run id, or None."""
    place = Place("runId")
    RUN_ID.read(run_id, place)
    return f"{place.where} {place.faults[0].what}" if place.faults else None


def series_of(spec: object) -> str | None:
    """Return the series that a spec names; None where it names none, or none that there can be."""
    return SERIES.read(spec.get("series"), Place("series")) if isinstance(spec, dict) else None


class Reuse(StrEnum):
    """Whether a run takes over the training of an identical run."""

    NEVER = "Never"
    IF_IDENTICAL = "IfIdentical"


@dataclass(frozen=True)
class RunFields(Record):
    """The whole spec of a run."""

    run_id: str | None = optional(
        RUN_ID,
        "Name of the run's folder on the volume, /data/artifacts/trading-ops/qlib-shadow/<runId>. "
        "Default: <name>-<first 8 characters of the uid>.",
        reader=Reader.BOTH,
    )
    series: str | None = optional(
        SERIES,
        "Name under which nights belong together: pages and figures over time are of one series, and a run "
        "keeps only a model of its own series. A schedule sets its own name where this is left out. Default: "
        "none; such runs belong together by what their models follow from.",
    )
    dataset: DatasetFields = part(DatasetFields, "Which data, and how fresh.")
    workflow: WorkflowSpec = part(WorkflowSpec, "What is researched on the dataset.")
    ledger: LedgerSpec | None = optional(
        Object(LedgerSpec),
        "The paper account that records what the signals would have done; a third stage keeps it. Nothing is "
        "ever traded. Default: none.",
    )
    storage: StorageSpec = part(
        StorageSpec, "The volume that holds datasets and artifacts.", reader=Reader.OPERATOR
    )
    stages: StagesSpec = part(StagesSpec, "How each stage's Job is run.", reader=Reader.OPERATOR)
    image: str | None = optional(
        Text(512), "The runner's image. Default: the operator's setting.", reader=Reader.OPERATOR
    )
    image_pull_policy: str | None = optional(
        Choice(("Always", "IfNotPresent", "Never")),
        "When the image is pulled. Default: the operator's setting, IfNotPresent.",
        reader=Reader.OPERATOR,
    )
    image_pull_secrets: tuple[ImagePullSecret, ...] = defaulted(
        ListOf(Object(ImagePullSecret), 8, "Secrets, for example [{name: registry}]"),
        "Secrets in the run's namespace with credentials of the image's registry.",
        (),
        reader=Reader.OPERATOR,
    )
    queue_name: str | None = optional(
        Text(
            63,
            (
                matches(
                    "[a-z0-9]([-a-z0-9.]*[a-z0-9])?",
                    'must be a name of lower-case letters, digits, "-" and "."',
                ),
            ),
        ),
        "Kueue's LocalQueue in the run's namespace, which then decides when the stages' Jobs start; waiting "
        "there is not limited. Suspending such a run deletes its Job, and resuming it queues a new one. "
        "Default: none; Jobs start at once.",
        reader=Reader.OPERATOR,
    )
    reuse: Reuse = defaulted(
        Choice(Reuse),
        "Whether a run that asks the same question of the same data as a finished one takes over its "
        "training and figures. Default: Never; the earlier run is named in the message.",
        Reuse.NEVER,
    )
    suspend: bool = defaulted(
        Flag(),
        "Start no stage, and stop the one that runs; it begins again when this is false. "
        "Can be changed at any time.",
        False,  # noqa: FBT003 - the value itself
        reader=Reader.OPERATOR,
        frozen=False,
    )
    ttl_seconds_after_finished: int | None = optional(
        Whole(0, 2**31 - 1),
        "Delete the run this long after it has finished; its artifacts stay. Default: it stays. "
        "Can be changed at any time.",
        reader=Reader.OPERATOR,
        frozen=False,
    )
    job_ttl_seconds: int | None = optional(
        Whole(0, 2**31 - 1),
        "Delete the run's Jobs and pods this long after it has finished; the run and its artifacts stay. "
        "Default: the operator's setting. Can be changed at any time.",
        reader=Reader.OPERATOR,
        frozen=False,
    )


QUESTION: Final = tuple(one.key for one in fields_of(RunFields) if Reader.RUNNER in one.reader)
"""The fields of the spec that the runner reads and that determine its work."""

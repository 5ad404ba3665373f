"""The table of stages: their order, what each stage can access and what its result holds.

Code asks the stage's row and never compares stage names. Standard library only and no I/O, because the
operator imports this module too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import (
    DEFAULT_DATASET_PATH,
    ENV_ARCHIVE_PASSWORD,
    ENV_ARCHIVE_TOKEN,
    ENV_ARCHIVE_USERNAME,
    ENV_DEADLINE_SECONDS,
    ENV_FEATURES_CACHE_BYTES,
    ENV_TEMPLATE,
    ExitCode,
    Stage,
    version_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


COMPLETE: Final = "complete"
"""The status of a run of which every stage is done."""


class Network(StrEnum):
    """Whether a stage can reach the network."""

    OPEN = "open"
    CLOSED = "closed"
    """A NetworkPolicy closes it from outside, the guard from inside."""


class Access(StrEnum):
    """A stage's access to the dataset."""

    WRITTEN = "written"
    READ_ONLY = "read-only"
    NONE = "none"


@dataclass(frozen=True)
class StageRow:
    """The properties of one stage that are the same in every run."""

    does: str
    """The stage's task, as the end of a sentence that begins with "The stage that"."""
    network: Network
    dataset: Access
    leaves: tuple[str, ...]
    """The keys that its Result has besides the common ones."""
    secrets: frozenset[str] = frozenset()
    """The variables with credentials that this stage receives."""
    variables: frozenset[str] = frozenset()
    """The other variables that this stage receives and not every stage."""
    ledgers: Access = Access.READ_ONLY
    """A stage's access to the folder of all books, in a cluster.

    READ_ONLY is so in runs with a ledger, whose first stage makes the folder; in others, and for NONE, once
    there is a book.
    """
    trains: bool = False
    """Whether the stage leaves model and signals, from which other runs go on."""
    when: str = "always"
    """The runs that have the stage, in words."""
    belongs: Callable[[Mapping[str, object]], bool] = lambda _spec: True
    """Whether a run with this spec has the stage."""

    @property
    def is_closed(self) -> bool:
        """Return whether the stage must not reach the network."""
        return self.network is Network.CLOSED


def _dataset(spec: Mapping[str, object]) -> Mapping[str, object]:
    found = spec.get("dataset")
    return found if isinstance(found, Mapping) else {}


def _has_ledger(spec: Mapping[str, object]) -> bool:
    return spec.get("ledger") is not None


def _pins_no_version(spec: Mapping[str, object]) -> bool:
    return _dataset(spec).get("version") is None


STAGES: Final[Mapping[Stage, StageRow]] = {
    Stage.DOWNLOAD: StageRow(
        does="provides and verifies the dataset",
        network=Network.OPEN,
        dataset=Access.WRITTEN,
        leaves=("dataset",),
        when="unless `dataset.version` names data that is there",
        belongs=_pins_no_version,
        ledgers=Access.NONE,  # the first stage of the first run makes the folder
        secrets=frozenset({ENV_ARCHIVE_TOKEN, ENV_ARCHIVE_USERNAME, ENV_ARCHIVE_PASSWORD}),
        variables=frozenset({ENV_DEADLINE_SECONDS, ENV_TEMPLATE}),
    ),
    Stage.QRUN: StageRow(
        does="trains, predicts, backtests and reports",
        network=Network.CLOSED,
        dataset=Access.READ_ONLY,
        leaves=("dataset", "metrics", "configHash"),
        trains=True,
        variables=frozenset({ENV_TEMPLATE, ENV_FEATURES_CACHE_BYTES}),
    ),
    Stage.LEDGER: StageRow(
        does="records what the signals would have done",
        network=Network.CLOSED,
        dataset=Access.READ_ONLY,
        leaves=("ledger",),
        when="where `ledger` is given",
        belongs=_has_ledger,
        ledgers=Access.WRITTEN,
    ),
}
"""The stages in the order in which they run."""


def stages_of(spec: object) -> tuple[Stage, ...]:
    """Return the stages of a run, in order, from its unchecked spec; an invalid spec has stages too."""
    raw = spec if isinstance(spec, Mapping) else {}
    return tuple(stage for stage, row in STAGES.items() if row.belongs(raw))


def pinned_path(spec: object) -> str | None:
    """Return the path of the version that a spec names in `dataset.version`, or None."""
    dataset = _dataset(spec) if isinstance(spec, Mapping) else {}
    path, version = dataset.get("path", DEFAULT_DATASET_PATH), dataset.get("version")
    return version_path(path, version) if isinstance(path, str) and isinstance(version, str) else None


def recorded_stages(metadata: Mapping[str, object]) -> tuple[Stage, ...]:
    """Return the stages of a run from its RUN_METADATA.json, which has a record of each from the start."""
    records = metadata.get("stages")
    known = records if isinstance(records, Mapping) else {}
    return tuple(stage for stage in STAGES if stage in known) or stages_of({})


def stage_record(metadata: Mapping[str, object], stage: Stage) -> Mapping[str, object]:
    """Return what RUN_METADATA.json says of the last attempt at a stage; empty where there was none."""
    records = metadata.get("stages")
    record = records.get(stage) if isinstance(records, Mapping) else None
    return record if isinstance(record, Mapping) else {}


def is_trained(metadata: Mapping[str, object]) -> bool:
    """Return whether a run has left model and signals, however the stages after its training have ended.

    A run is complete when all of its stages are done; readers of its model or signals ask this instead.
    """
    trained = (stage_record(metadata, stage) for stage, row in STAGES.items() if row.trains)
    return metadata.get("status") == COMPLETE or any(one.get("exit_code") == ExitCode.DONE for one in trained)


def is_after_training(stage: Stage, stages: Iterable[Stage]) -> bool:
    """Return whether a stage comes after the one of these stages that trains."""
    before = takewhile(lambda one: one is not stage, stages)
    return any(STAGES[one].trains for one in before)


def leaving(key: str, stages: Iterable[Stage]) -> Stage | None:
    """Return the first of these stages whose result has this key."""
    return next((stage for stage in stages if key in STAGES[stage].leaves), None)

"""The table of stages: which there are, in order, what each may do and what it leaves.

Everything that is true of a stage alone is a field of its row, so that nothing else asks which stage it is.
Standard library only, and no I/O: the operator imports this module too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import (
    DEFAULT_DATASET_PATH,
    ENV_ARCHIVE_PASSWORD,
    ENV_ARCHIVE_TOKEN,
    ENV_ARCHIVE_USERNAME,
    ENV_FEATURES_CACHE_BYTES,
    ENV_TEMPLATE,
    Stage,
    version_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Network(StrEnum):
    """Whether a stage reaches the network."""

    OPEN = "open"
    CLOSED = "closed"
    """By a NetworkPolicy from outside and by the guard from inside."""


class Access(StrEnum):
    """How a stage sees the dataset."""

    WRITTEN = "written"
    READ_ONLY = "read-only"
    NONE = "none"


@dataclass(frozen=True)
class StageRow:
    """What is true of one stage, whatever the run."""

    does: str
    """Its task; a sentence that begins with "The stage that"."""
    network: Network
    dataset: Access
    leaves: tuple[str, ...]
    """The keys of its Result, besides those that every stage leaves."""
    secrets: frozenset[str] = frozenset()
    """The variables that hold credentials and that this stage is given."""
    variables: frozenset[str] = frozenset()
    """The other variables that not every stage is given."""
    when: str = "always"
    """Which runs have the stage, in words."""
    belongs: Callable[[Mapping[str, object]], bool] = lambda _spec: True
    """Whether a run with this spec has the stage."""

    @property
    def is_closed(self) -> bool:
        """Return whether the stage must not reach the network."""
        return self.network is Network.CLOSED


def _dataset(spec: Mapping[str, object]) -> Mapping[str, object]:
    found = spec.get("dataset")
    return found if isinstance(found, Mapping) else {}


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
        secrets=frozenset({ENV_ARCHIVE_TOKEN, ENV_ARCHIVE_USERNAME, ENV_ARCHIVE_PASSWORD}),
    ),
    Stage.QRUN: StageRow(
        does="trains, predicts, backtests and reports",
        network=Network.CLOSED,
        dataset=Access.READ_ONLY,
        leaves=("dataset", "metrics", "configHash"),
        variables=frozenset({ENV_TEMPLATE, ENV_FEATURES_CACHE_BYTES}),
    ),
}
"""In the order in which they run."""


def stages_of(spec: object) -> tuple[Stage, ...]:
    """Return the stages of a run, in order, from its spec as it was written; a wrong spec has some too."""
    raw = spec if isinstance(spec, Mapping) else {}
    return tuple(stage for stage, row in STAGES.items() if row.belongs(raw))


def pinned_path(spec: object) -> str | None:
    """Return where the version lies that a spec names in `dataset.version`; None where it names none."""
    dataset = _dataset(spec) if isinstance(spec, Mapping) else {}
    path, version = dataset.get("path", DEFAULT_DATASET_PATH), dataset.get("version")
    return version_path(path, version) if isinstance(path, str) and isinstance(version, str) else None


def recorded_stages(metadata: Mapping[str, object]) -> tuple[Stage, ...]:
    """Return the stages of a run from its RUN_METADATA.json, which keeps a record of each, begun or not."""
    records = metadata.get("stages")
    known = records if isinstance(records, Mapping) else {}
    return tuple(stage for stage in STAGES if stage in known) or stages_of({})


def leaving(key: str, stages: Iterable[Stage]) -> Stage | None:
    """Return the first of these stages whose result has this key."""
    return next((stage for stage in stages if key in STAGES[stage].leaves), None)

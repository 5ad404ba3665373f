"""Read a run manifest's spec into frozen values, or report each of its faults with the remedy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract.fields import Object
from qlib_shadow_runner.contract.place import Place
from qlib_shadow_runner.contract.spec import RunFields
from qlib_shadow_runner.dataset.asked import DatasetSpec
from qlib_shadow_runner.refusals import fault_of

if TYPE_CHECKING:
    from qlib_shadow_runner.errors import StageError


@dataclass(frozen=True)
class RunSpec(RunFields):
    """The spec with defaults filled in and the dataset's source resolved."""

    dataset: DatasetSpec = field(default_factory=DatasetSpec)


def parse_spec(document: object) -> RunSpec:
    """Return the spec of a document; raise its first fault."""
    found, faults = _read(document)
    if found is None:
        raise faults[0]
    return RunSpec(**{**vars(found), "dataset": DatasetSpec.of(found.dataset)})


def spec_faults(document: object) -> list[StageError]:
    """Return every fault of the spec, in the order of the table of fields."""
    return _read(document)[1]


def _read(document: object) -> tuple[RunFields | None, list[StageError]]:
    place = Place("spec")
    found = Object(RunFields).read(document, place)
    return found, [fault_of(one) for one in place.faults]

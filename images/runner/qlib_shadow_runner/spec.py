"""The manifest's spec as frozen values, or every fault in it as a sentence with its remedy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract.fields import Object
from qlib_shadow_runner.contract.kinds import Place
from qlib_shadow_runner.contract.spec import RunFields
from qlib_shadow_runner.dataset.asked import DatasetSpec
from qlib_shadow_runner.fields import fault_of

if TYPE_CHECKING:
    from qlib_shadow_runner.errors import StageError


@dataclass(frozen=True)
class RunSpec(RunFields):
    """The table's fields, with the source that the dataset comes from."""

    dataset: DatasetSpec = field(default_factory=DatasetSpec)


def parse_spec(document: object) -> RunSpec:
    """Read a whole spec, or refuse its first fault."""
    found, faults = _read(document)
    if found is None:
        raise faults[0]
    return RunSpec(**{**vars(found), "dataset": DatasetSpec.of(found.dataset)})


def spec_faults(document: object) -> list[StageError]:
    """Return every fault, in the table's order."""
    return _read(document)[1]


def _read(document: object) -> tuple[RunFields | None, list[StageError]]:
    place = Place("spec")
    found = Object(RunFields).read(document, place)
    return found, [fault_of(one) for one in place.faults]

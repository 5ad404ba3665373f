"""The golden run's checklist as the report shows it, before the run is complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qlib_shadow_runner.verify import check_all
from qlib_shadow_runner.verify.acceptance import AT_THE_END, REPORT_CHECK

if TYPE_CHECKING:
    from qlib_shadow_runner.verify.evidence import Evidence


@dataclass(frozen=True)
class ChecklistItem:
    """One line; `passed` is None if it cannot be checked yet."""

    name: str
    passed: bool | None
    detail: str


def checklist(evidence: Evidence, *, ended: bool) -> list[ChecklistItem]:
    """Return the checklist; the report cannot contain the check of itself."""
    later = frozenset() if ended else AT_THE_END
    lines = check_all(evidence, without={*later, REPORT_CHECK})
    found = {line.name: ChecklistItem(line.name, line.passed, line.detail) for line in lines}
    open_ = [
        ChecklistItem(name, None, "told when the run has ended: qlib-shadow verify") for name in sorted(later)
    ]
    return [*found.values(), *open_]

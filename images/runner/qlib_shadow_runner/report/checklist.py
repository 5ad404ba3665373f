"""The golden run's checklist as a report shows it: while a run is at work, some of it is still to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qlib_shadow_runner.verify import check_all
from qlib_shadow_runner.verify.acceptance import AT_THE_END, REPORT_CHECK

if TYPE_CHECKING:
    from qlib_shadow_runner.verify.evidence import Evidence


@dataclass(frozen=True)
class ChecklistItem:
    """One line; passed is None where it cannot be told yet."""

    name: str
    passed: bool | None
    detail: str


def checklist(evidence: Evidence, *, ended: bool) -> list[ChecklistItem]:
    """Check what can be checked; the report's own line cannot be, in the report."""
    later = frozenset() if ended else AT_THE_END
    lines = check_all(evidence, without={*later, REPORT_CHECK})
    found = {line.name: ChecklistItem(line.name, line.passed, line.detail) for line in lines}
    open_ = [
        ChecklistItem(name, None, "told when the run has ended: qlib-shadow verify") for name in sorted(later)
    ]
    return [*found.values(), *open_]

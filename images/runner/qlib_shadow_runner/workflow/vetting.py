"""What qrun may be given: no template marks, no unknown section, no foreign class, no foreign argument.

qrun renders its file with Jinja from the environment, takes `sys.path` from it, imports any module that it
names, evaluates expressions and unpickles files. A workflow is code, then; this is the gate. It knows what is
allowed (`classes`) and nothing of a run: whether the workflow answers the run's question is `agreement`'s.
"""

from __future__ import annotations

from typing import Final

from qlib_shadow_runner.workflow.allowed.records import RECORDS
from qlib_shadow_runner.workflow.classes import WORKFLOW
from qlib_shadow_runner.workflow.document import read_document, refuse

ORDER: Final = ("SignalRecord", "SigAnaRecord", "PortAnaRecord")
"""Each reads what the one before it has written; what a run exports is made of all three."""


def vet(rendered: str) -> dict[str, object]:
    """Parse a rendered workflow, or refuse it."""
    document = read_document(rendered)
    WORKFLOW.check(document, "workflow")
    task = document["task"]
    assert isinstance(task, dict), "it was checked"
    _check_order(task["record"])
    return document


def _check_order(records: list[dict[str, object]]) -> None:
    found = tuple(RECORDS.resolve(record)[1] for record in records)
    if found != ORDER:
        refuse(
            f"workflow.task.record lists {', '.join(found)}; a run needs {', '.join(ORDER)}, in this order"
        )

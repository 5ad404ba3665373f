"""What qrun may be given: only the sections, classes and arguments of the allow-list.

qrun renders its file with Jinja from the environment, takes `sys.path` from it, imports any module that it
names, evaluates expressions and unpickles files. So a workflow is code, and this is its gate. It knows
what is allowed and nothing of a run: `agreement` checks whether a workflow does what the spec asks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.training.model_folder import DOCUMENTS, MODEL_DOCUMENT
from qlib_shadow_runner.workflow.allowed.analysis import EXCHANGES, EXECUTORS, RECORDS, STRATEGIES
from qlib_shadow_runner.workflow.allowed.features import DATASETS, HANDLERS, LOADERS, PROCESSORS, SPAN
from qlib_shadow_runner.workflow.allowed.models import MODELS
from qlib_shadow_runner.workflow.combinations import check_combinations
from qlib_shadow_runner.workflow.parsed import KEPT_MODEL, LIVE_MODEL
from qlib_shadow_runner.workflow.read_yaml import refuse
from qlib_shadow_runner.workflow.shapes import TEXT, Keys, Listed, Plain, exactly

if TYPE_CHECKING:
    from qlib_shadow_runner.workflow.parsed import Workflow

WORKFLOW: Final = Keys(
    {
        "qlib_init": Keys(
            # One process: the same order of work, and of sums, on every machine, and nothing in /dev/shm.
            {"provider_uri": TEXT, "region": exactly("us", "cn", "tw"), "kernels": exactly(1)},
            frozenset({"provider_uri", "region", "kernels"}),
        ),
        "task": Keys(
            {"model": MODELS, "dataset": DATASETS, "record": Listed(RECORDS, 3, 3)},
            frozenset({"model", "dataset", "record"}),
        ),
    },
    frozenset({"qlib_init", "task"}),
)


NAME_IN_MODEL: Final = re.compile(r"(live_)?model(_[0-9]{1,4})?\.txt")
"""The texts of a model and of a live model."""


def _are_hashes(value: object) -> bool:
    return isinstance(value, dict) and all(
        (str(name) in DOCUMENTS | {MODEL_DOCUMENT} or NAME_IN_MODEL.fullmatch(str(name)))
        and re.fullmatch("[0-9a-f]{64}", str(digest))
        for name, digest in value.items()
    )


KEPT: Final = Plain("a model's files with their SHA-256", _are_hashes)
LIVE: Final = Keys({"train": SPAN, "days": SPAN}, frozenset({"days"}))
GROUPS_OF_CLASSES: Final = (
    MODELS,
    DATASETS,
    HANDLERS,
    LOADERS,
    PROCESSORS,
    RECORDS,
    STRATEGIES,
    EXECUTORS,
    EXCHANGES,
)
"""Every place where a class may be named."""
CLASSES: Final = frozenset(named for group in GROUPS_OF_CLASSES for named in group.classes)
"""Every class that a workflow may name; none of them can reach a broker."""


ORDER: Final = ("SignalRecord", "SigAnaRecord", "PortAnaRecord")
"""Each reads what the one before it wrote, and the export needs all three."""


def vet(workflow: Workflow) -> None:
    """Refuse a workflow that names anything that is not allowed."""
    document = dict(workflow.document)
    kept = document.pop(KEPT_MODEL, None)
    if kept is not None:
        KEPT.check(kept, f"workflow.{KEPT_MODEL}")
    live = document.pop(LIVE_MODEL, None)
    if live is not None:
        LIVE.check(live, f"workflow.{LIVE_MODEL}")
    WORKFLOW.check(document, "workflow")
    _check_order(workflow.document["task"]["record"])
    check_combinations(workflow)


def _check_order(records: list[dict[str, object]]) -> None:
    found = tuple(RECORDS.resolve(record)[1] for record in records)
    if found != ORDER:
        refuse(
            f"workflow.task.record lists {', '.join(found)}; a run needs {', '.join(ORDER)}, in this order"
        )

"""Everything that a workflow may say, as data: the allow-list, and what each class may be given.

To allow a class, add it to its group in `allowed`, with what it may be given: a test imports every class, the
page docs/templates.md is checked against these tables, and nothing else has to know. No path, no address, no
pickle and no function may be an argument: Qlib opens, calls and unpickles what it is given.
"""

from __future__ import annotations

from typing import Final

from qlib_shadow_runner.workflow.allowed.features import DATASETS, HANDLERS, LOADERS, PROCESSORS
from qlib_shadow_runner.workflow.allowed.models import MODELS
from qlib_shadow_runner.workflow.allowed.records import EXCHANGES, EXECUTORS, RECORDS, STRATEGIES
from qlib_shadow_runner.workflow.shapes import (
    TEXT,
    Keys,
    Listed,
    exactly,
)

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

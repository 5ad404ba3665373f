"""`python -m qlib_shadow_runner.stages.launch_qrun WORKFLOW …`: Qlib's own qrun, begun and ended sooner.

Qlib imports clients of databases, of which no shadow run makes use, and statistics that only an expression
outside of the array engine needs. Together with MLflow that is most of a night with a kept model.
"""

from __future__ import annotations

import gc
from typing import Final

from qlib_shadow_runner.process.ending import end_process
from qlib_shadow_runner.process.postponed import postpone

UNUSED: Final = frozenset({"gym", "pymongo", "redis", "redis_lock", "scipy.optimize", "scipy.stats"})
"""Modules of which Qlib only calls functions, if anything."""


def main() -> None:
    """Run qrun, and end the process once it has ended well; an error ends it as any other program."""
    gc.disable()  # nothing that is imported becomes garbage
    postpone(UNUSED)
    from qlib.cli import run  # noqa: PLC0415 - after its imports are postponed

    gc.freeze()
    gc.enable()
    run.run()
    end_process()


if __name__ == "__main__":
    main()

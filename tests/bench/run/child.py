"""One qrun in a process of its own: `python -m tests.bench.run.child WORKFLOW STORE PHASES`."""

from __future__ import annotations

import time

BEGAN = time.perf_counter()
"""Before anything else is imported."""

import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from tests.bench.run.phases import BOOKKEEPING, Clock, watch  # noqa: E402


def main(workflow: str, store: str, phases: str) -> None:
    """Do what the program `qrun` does, under a clock."""
    clock = Clock(BEGAN)
    from qlib.cli import run  # noqa: PLC0415 - imported under the clock

    watch(clock)
    clock.become(BOOKKEEPING)
    run.workflow(workflow, experiment_name="bench", uri_folder=store)
    Path(phases).write_text(json.dumps(clock.stop()), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

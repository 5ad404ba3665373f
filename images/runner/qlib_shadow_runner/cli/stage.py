"""`qlib-shadow stage`: one stage of a run, as the Job of that stage calls it."""

from __future__ import annotations

import os

from qlib_shadow_runner.contract import Stage


def run_one_stage(*, stage: str, report: bool) -> int:
    """Run the stage, or only deliver its result again; return the exit code."""
    if report:
        from qlib_shadow_runner.stages.result_delivery import recover_result  # noqa: PLC0415

        return recover_result(Stage(stage), os.environ)
    from qlib_shadow_runner.stages.harness import run_stage  # noqa: PLC0415

    return run_stage(Stage(stage), os.environ)

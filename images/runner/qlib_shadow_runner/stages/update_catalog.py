"""Update the catalog in a child process after the last stage of a run.

The result is already delivered, so a failure is only a note in the log: the next run or query updates the
catalog. Standard library only, like everything that a stage's own process imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_error
from qlib_shadow_runner.process.environment import child_environment
from qlib_shadow_runner.runs.request import scratch_parent
from qlib_shadow_runner.storage.scratch import scratch_folder

if TYPE_CHECKING:
    from qlib_shadow_runner.process.supervisor import Supervisor
    from qlib_shadow_runner.runs.request import StageInput


def update_catalog(stage_input: StageInput, supervisor: Supervisor) -> None:
    """Add the ended run to the catalog; a failure is logged and ignored."""
    try:
        _update(stage_input, supervisor)
    except (StageError, OSError) as error:
        print_error(
            f"note: the catalog of runs was not brought up to date: {error} The next run or query does it."
        )


def _update(stage_input: StageInput, supervisor: Supervisor) -> None:
    with scratch_folder("catalog-", scratch_parent(stage_input.work)) as folder:
        scratch = str(folder)
        environ = child_environment(stage_input.environ, threads=1, scratch=scratch)
        supervisor.step("catalog", {"mount": str(stage_input.volume.mount)}, environ=environ, cwd=scratch)

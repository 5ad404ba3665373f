"""How long a stage may take, and the sentence about one that took longer: in a cluster and without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
"""The reason of a stage that was ended."""
DEFAULT_SECONDS: Final[Mapping[Stage, int]] = {
    Stage.DOWNLOAD: 3600,
    Stage.QRUN: 4 * 3600,
    Stage.LEDGER: 1800,
}
"""The deadline of a stage where the spec has none; in a cluster, the operator's settings may have another."""


def past_deadline(stage: Stage, seconds: int) -> str:
    """Return what has happened."""
    return f"stage {stage} did not finish within its {seconds} s deadline"


def more_time(stage: Stage) -> str:
    """Return what to do about it."""
    return f"Raise stages.{stage}.activeDeadlineSeconds, or give the stage more CPU"

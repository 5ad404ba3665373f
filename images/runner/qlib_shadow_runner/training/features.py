"""What became of a run's features, by the word of the attempt that asked for them.

It lies beside the checkpoints of the computation, because a later attempt that finds predictions there asks
for no features. Standard library only; knows nothing of Qlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.files import read_json_object

if TYPE_CHECKING:
    from pathlib import Path


def report_path(home: Path, attempt: int) -> Path:
    """Say where an attempt writes it down."""
    return home / f"features-{attempt}.json"


def features_told(home: Path) -> dict[str, object] | None:
    """Give the last attempt's that computed or found any, and which attempt that was."""
    told = {int(path.stem.rpartition("-")[2]): path for path in home.glob("features-*.json")}
    found = ((attempt, read_json_object(told[attempt])) for attempt in sorted(told, reverse=True))
    return next(({**report, "attempt": attempt} for attempt, report in found if report), None)

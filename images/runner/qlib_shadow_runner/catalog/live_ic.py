"""The live IC of one model: the outcomes of the last days of all runs that used it, from the followup.

The followup's horizon is the label's own: another one says nothing of the IC that was promised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow.compute as pc

from qlib_shadow_runner.catalog.followup import SCHEMA, followup_file
from qlib_shadow_runner.catalog.model_uses import ic_by_day
from qlib_shadow_runner.catalog.tables import LIMITS
from qlib_shadow_runner.drift.decay import Decay, DecayState, judge
from qlib_shadow_runner.drift.document import decay_document, promise_of
from qlib_shadow_runner.drift.thresholds import calibrated
from qlib_shadow_runner.storage.untrusted import why_unreadable
from qlib_shadow_runner.storage.untrusted_tables import read_table
from qlib_shadow_runner.training.finished_runs import finished_runs_with

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

READ: Final = ("date", "ic")


def decay_of_model(
    volume: Volume, folder: Path, *, source: str, trained_by: str, namespace: str, horizon: int
) -> dict[str, Any]:
    """Return the decay of the model that the run `source` has, for the metadata of the run in a folder.

    Each run passes on what was promised, so that the run that trained may go. A followup that cannot be used
    is named, and nothing is known then.
    """
    runs = [
        (run.name, metadata)
        for run, metadata in finished_runs_with(folder, "model_trained_by", trained_by)
        if run.name == source or metadata.get("namespace") == namespace
    ]
    promises = (promise_of(metadata.get("decay"), horizon) for _, metadata in runs)
    promise = next((one for one in promises if one), None)
    try:
        live = _live(volume, (trained_by, namespace), [name for name, _ in runs], horizon)
    except OSError as error:
        decay = Decay(DecayState.UNKNOWN, 0, calibrated().live_days, why=why_unreadable(error))
        return decay_document(decay, promise)
    return decay_document(judge(live, promise, calibrated()), promise)


def _live(volume: Volume, model: tuple[str, str], runs: Sequence[str], horizon: int) -> list[float]:
    """Return the live IC of each day, the oldest first; a day of several runs counts once.

    The outcomes of runs that were removed since count too, or a model that has decayed would hold again.
    """
    path = followup_file(volume)
    try:
        table = read_table(path.parents[1], f"{path.parent.name}/{path.name}", SCHEMA, LIMITS)
    except FileNotFoundError:
        return []
    trained_by, namespace = model
    ours = (pc.field("model_trained_by") == trained_by) & (pc.field("namespace") == namespace)
    wanted = pc.field("live") & (pc.field("horizon") == horizon) & (ours | pc.field("run_id").isin(runs))
    return list(ic_by_day(table.filter(wanted).select(list(READ)).to_pylist()).values())

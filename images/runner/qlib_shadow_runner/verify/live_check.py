"""Check which model made the signals of the live days against workflow, tables and the model's files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import METADATA_FILE, MODEL, WORKFLOW_FILE
from qlib_shadow_runner.contract.spec.workflow import Live
from qlib_shadow_runner.verify.broken_promise import BrokenPromise

if TYPE_CHECKING:
    from qlib_shadow_runner.training.model_folder import ModelFolder
    from qlib_shadow_runner.verify.evidence import Evidence

TOLERANCE: Final = 1e-12


def check_live_table(evidence: Evidence) -> None:
    """Refuse a live table of other days than the workflow's, or metadata that say of it what it does not."""
    from qlib_shadow_runner.analysis.live import live_rank_correlation  # noqa: PLC0415 - pandas only when needed
    from qlib_shadow_runner.analysis.outputs import Outputs  # noqa: PLC0415
    from qlib_shadow_runner.pickles.files import LIVE, PREDICTIONS  # noqa: PLC0415

    section, tables = evidence.workflow.live_model, evidence.tables
    asked = section is not None
    if {asked, LIVE in tables.found, evidence.metadata.get("live") == Live.REFIT} != {asked}:
        raise BrokenPromise(
            f"{WORKFLOW_FILE}, {METADATA_FILE} and the tables do not agree whether there is a live model"
        )
    if section is None:
        return
    first, last = (str(day) for day in section["days"])
    scored = {str(day) for day in tables.require(PREDICTIONS)["date"].unique().to_pylist()}
    found = {str(day) for day in tables.found[LIVE]["date"].unique().to_pylist()}
    if found != {day for day in scored if first <= day <= last}:
        raise BrokenPromise(f"the table {LIVE} is not of the days {first} to {last} of {WORKFLOW_FILE}")
    told, recomputed = evidence.metadata.get("live_rank_correlation"), live_rank_correlation(Outputs(tables))
    if not _are_equal(told, recomputed):
        raise BrokenPromise(
            f"{METADATA_FILE} says live_rank_correlation {told}; the tables give {recomputed}"
        )


def check_live_model(evidence: Evidence, model: ModelFolder) -> None:
    """Refuse metadata that say other hashes or another last day of the models than their files."""
    hashes: dict[str, Any] = {"model_sha256": model.sha256()}
    section, through = evidence.workflow.live_model, None
    if section is not None:
        through = str(model.live_through)
        hashes["live_model_sha256"] = model.sha256(live=True)
    told = {name: evidence.metadata.get(name) for name in hashes}
    if told != hashes or evidence.metadata.get("live_model_trained_through") != through:
        raise BrokenPromise(f"{METADATA_FILE} does not say of the live model what {MODEL}/ says")
    if section is not None and "train" in section and str(section["train"][1]) != through:
        raise BrokenPromise(f"{MODEL}/ does not say of the live model what {WORKFLOW_FILE} says")


def _are_equal(one: object, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return isinstance(one, int | float) and math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)

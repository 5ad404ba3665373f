"""What the export says of drift and decay: the recorded drift, and what a new model promises."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qlib_shadow_runner.drift.decay import Promise, judge
from qlib_shadow_runner.drift.document import Row, decay_document, drift_document
from qlib_shadow_runner.drift.thresholds import calibrated
from qlib_shadow_runner.pickles.files import DRIFT, IC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.contract import Metrics
    from qlib_shadow_runner.tables.layout import Tables


def describe_alarms(tables: Tables, metrics: Metrics, metadata: Mapping[str, object]) -> dict[str, object]:
    """Return drift and decay for the metadata; a kept model's decay is known before, and is left as it is."""
    table = tables.found.get(DRIFT)
    rows = [Row(**row) for row in table.to_pylist()] if table is not None else []
    drift = drift_document(rows, calibrated())
    if table is None:
        drift["why"] = "no drift was recorded"
    if metadata.get("model_kept"):
        return {"drift": drift}
    return {"drift": drift, "decay": _promised(tables, metrics, metadata)}


def _promised(tables: Tables, metrics: Metrics, metadata: Mapping[str, object]) -> dict[str, object]:
    """Return what the evaluation promises of a model that has no live days yet."""
    ic, icir, horizon = metrics.get("ic"), metrics.get("icir"), metadata.get("label_horizon_days")
    days = len(tables.require(IC).column(1).to_pandas().dropna())
    promise = None
    if ic is not None and icir is not None and math.isfinite(icir) and type(horizon) is int:
        promise = Promise(ic, icir, days, horizon)
    before = metadata.get("decay")
    gave_up = before.get("gave_up") if isinstance(before, dict) else None
    return {**decay_document(judge([], promise, calibrated()), promise), "gave_up": gave_up}

"""The recorder's files, and the tables that they give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PREDICTIONS: Final = "predictions"
LIVE: Final = "live_predictions"
"""The live model's scores of the days whose outcome is not known yet; our record of the signals adds them."""
LABELS: Final = "labels"
IC: Final = "ic"
RANK_IC: Final = "rank_ic"
ACCOUNT: Final = "account"
RISK: Final = "risk"
POSITIONS: Final = "positions"
GAINS: Final = "gains"
ROUNDS: Final = "rounds"
SEGMENT_IC: Final = "segment_ic"
"""The daily IC of train and valid, which our record of the signals adds to Qlib's files."""
BEFORE_TEST: Final = ("train", "valid")
"""The segments of that table."""
DRIFT: Final = "drift"
"""How far the new days are from those before, which our record of the signals adds to Qlib's files."""
NAMES: Final = "names"
"""The names of the features, which the model of the gains knows by number; no table of a run."""
RECORDED_IN: Final[Mapping[str, str]] = {
    PREDICTIONS: "pred.pkl",
    LIVE: "live_pred.pkl",
    LABELS: "label.pkl",
    IC: "sig_analysis/ic.pkl",
    RANK_IC: "sig_analysis/ric.pkl",
    ACCOUNT: "portfolio_analysis/report_normal_1day.pkl",
    RISK: "portfolio_analysis/port_analysis_1day.pkl",
    POSITIONS: "portfolio_analysis/positions_normal_1day.pkl",
    GAINS: "params.pkl",
    ROUNDS: "params.pkl",
    SEGMENT_IC: "segment_ic.pkl",
    DRIFT: "drift.pkl",
    NAMES: "dataset",
}
"""The file of each table, in the recorder's folder of artifacts."""
FILES: Final = tuple(dict.fromkeys(RECORDED_IN.values()))
OPTIONAL: Final = frozenset(RECORDED_IN[name] for name in (SEGMENT_IC, LIVE, DRIFT))
"""Files that a recorder may lack without any fault: Qlib's own records do not leave them."""

"""Reading the recorder's pickles: the tables among them, all in the one way that runs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.pickles import read_opaquely

if TYPE_CHECKING:
    from pathlib import Path

PREDICTIONS: Final = "pred.pkl"
IC: Final = "sig_analysis/ic.pkl"
RANK_IC: Final = "sig_analysis/ric.pkl"
PORTFOLIO: Final = "portfolio_analysis/port_analysis_1day.pkl"
REPORT: Final = "portfolio_analysis/report_normal_1day.pkl"


def read_artifact(artifacts: Path, name: str) -> pd.DataFrame:
    """Read one artifact as a table."""
    path = artifacts / name
    try:
        value = read_opaquely(path)
    except FileNotFoundError:
        raise StageError(
            Reason.OUTPUT_INCOMPLETE, f"{path} is missing: qrun ended without recording it; see stdout.log."
        ) from None
    table = value.to_frame() if isinstance(value, pd.Series) else value
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"it holds no table, but a {type(value).__name__}")
    return table

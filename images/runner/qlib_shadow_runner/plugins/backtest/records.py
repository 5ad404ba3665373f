"""Qlib's analysis of the signals with a checkpoint, and with correlations on arrays."""

from __future__ import annotations

from pprint import pprint
from typing import TYPE_CHECKING, Any

import pandas as pd

from qlib_shadow_runner.plugins import records
from qlib_shadow_runner.plugins._correlation import calc_ic

if TYPE_CHECKING:
    from collections.abc import Mapping


class SigAnaRecord(records.SigAnaRecord):
    """The correlation of the predictions with the labels; a long-short analysis is left to Qlib."""

    def _generate(self, label: Any = None, **kwargs: Any) -> Mapping[str, Any] | None:
        if label is None:
            label = self.load("label.pkl")
        if self.ana_long_short or not isinstance(label, pd.DataFrame) or label.empty:
            return super()._generate(label=label, **kwargs)  # type: ignore[no-any-return]
        correlations = calc_ic(self.load("pred.pkl").iloc[:, 0], label.iloc[:, self.label_col])
        metrics: dict[str, Any] = {}
        for name, ratio, series in zip(("IC", "Rank IC"), ("ICIR", "Rank ICIR"), correlations, strict=True):
            metrics |= {name: series.mean(), ratio: series.mean() / series.std()}
        self.recorder.log_metrics(**metrics)
        pprint(metrics)  # noqa: T203 - as Qlib does
        return dict(zip(("ic.pkl", "ric.pkl"), correlations, strict=True))

"""The correlations of each day equal those of Qlib's calc_ic."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from qlib.contrib.eva.alpha import calc_ic as by_qlib

from qlib_shadow_runner.plugins._correlation import calc_ic


def series(seed: int, *, days: int = 40, names: int = 30, decimals: int = 9) -> tuple[pd.Series, pd.Series]:
    """Return predictions and labels with missing values and days of special cases."""
    random = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product(
        [pd.bdate_range("2020-01-01", periods=days), [f"S{number}" for number in range(names)]],
        names=["datetime", "instrument"],
    )
    pred = pd.Series(np.round(random.normal(size=len(index)), decimals), index)
    label = pd.Series((pred + random.normal(size=len(index))).to_numpy(np.float32), index)
    label[random.random(len(index)) < 0.1] = np.nan
    pred.loc[index.levels[0][1]] = 0.5
    label.loc[index.levels[0][2]] = np.nan
    label.loc[index.levels[0][3]] = np.inf
    pred.iloc[4 * names : 5 * names - 1] = np.nan
    return pred, label


@pytest.mark.parametrize(
    ("seed", "kwargs"),
    [(0, {}), (1, {"decimals": 0}), (2, {"names": 2}), (3, {"names": 500, "days": 8}), (4, {"names": 1})],
)
def test_correlations_of_each_day_equal_qlib(seed: int, kwargs: dict[str, int]) -> None:
    """With ties, constants, infinite values, one value, and none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare(*series(seed, **kwargs))


def test_rows_may_be_in_any_order() -> None:
    """By instrument first, shuffled, and with other rows on each side."""
    pred, label = series(5)
    shuffled = pred.sample(frac=0.9, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare(shuffled, label)
        compare(pred.swaplevel().sort_index(), label.swaplevel().sort_index())


def test_constant_day_warns() -> None:
    """As scipy warns: the day has no correlation."""
    index = pd.MultiIndex.from_product(
        [[pd.Timestamp("2020-01-01")], list("abc")], names=["datetime", "instrument"]
    )
    with pytest.warns(match="constant"):
        _, ranked = calc_ic(pd.Series(1.0, index), pd.Series([1.0, 2.0, 3.0], index))
    assert ranked.isna().all()


def compare(pred: pd.Series, label: pd.Series) -> None:
    """Compare both series: bits, days and names."""
    for theirs, ours in zip(by_qlib(pred, label), calc_ic(pred, label), strict=True):
        pd.testing.assert_series_equal(theirs, ours, check_exact=True, check_freq=True)
        assert theirs.to_numpy()[theirs.notna()].tobytes() == ours.to_numpy()[ours.notna()].tobytes()

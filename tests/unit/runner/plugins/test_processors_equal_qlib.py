"""Processors and handlers give the frames that Qlib's give, for the same steps in the same order."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from qlib.contrib.data import handler as theirs
from qlib.data.dataset import processor
from tests.unit.runner.conftest import weekdays
from tests.unit.runner.plugins.markets import Listing, Market
from tests.unit.runner.plugins.side_by_side import open_dataset

from qlib_shadow_runner.plugins import handlers as ours
from qlib_shadow_runner.plugins import processors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def frame(days: int, symbols: int, *, odd: bool, double: bool = False) -> pd.DataFrame:
    """Return features and a label; some days have one instrument, some values are missing or infinite."""
    random = np.random.default_rng(days * symbols)
    rows = [
        (day, f"S{number:03}")
        for day in weekdays(days)
        for number in range(symbols)
        if number == 0 or random.random() > 0.2
    ]
    index = pd.MultiIndex.from_arrays(
        [pd.to_datetime([day for day, _ in rows]), [symbol for _, symbol in rows]],
        names=["datetime", "instrument"],
    )
    values = random.normal(0, 3, (4, len(rows))).astype(np.float64 if double else np.float32)
    if odd:
        values[random.random(values.shape) < 0.2] = np.nan
        values[:, : symbols // 2] = np.nan
        values[1:3][random.random(values[1:3].shape) < 0.05] = np.inf
        values[2][random.random(len(rows)) < 0.05] = -np.inf
        values[3][index.codes[0] == 2] = 7
    columns = pd.MultiIndex.from_tuples([("feature", name) for name in "ABC"] + [("label", "LABEL0")])
    return pd.DataFrame(values.T, index=index, columns=columns)


def require_same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Compare rows, columns, types and every value."""
    pd.testing.assert_index_equal(one.index, other.index)
    pd.testing.assert_index_equal(one.columns, other.columns)
    assert list(one.dtypes) == list(other.dtypes)
    first, second = one.to_numpy(), other.to_numpy()
    assert ((first == second) | (np.isnan(first) & np.isnan(second))).all()


STEPS: dict[str, Callable[[Any], Any]] = {
    "scores of the label": lambda module: module.CSZScoreNorm(fields_group="label"),
    "scores of the features": lambda module: module.CSZScoreNorm(fields_group="feature"),
    "scores of both": lambda module: module.CSZScoreNorm(fields_group=["feature", "label"]),
    "robust scores": lambda module: module.CSZScoreNorm(fields_group="label", method="robust"),
    "infinities": lambda module: module.ProcessInf(),
}


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_processor_equals_qlib(step: str, *, odd: bool, double: bool):
    """For days of any size, unusual values, and both precisions."""
    given = frame(25, 12, odd=odd, double=double)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas warns about days without values
        want = STEPS[step](processor)(given.copy())
        found = STEPS[step](processors)(given.copy())
    require_same(want, found)


def test_unsorted_rows_are_left_to_qlib():
    """There the rows of a day are not contiguous."""
    given = frame(5, 9, odd=False).sample(frac=1, random_state=1)
    step = {"fields_group": "label"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = processor.CSZScoreNorm(**step)(given.copy())
        found = processors.CSZScoreNorm(**step)(given.copy())
    require_same(want, found)


MARKET = Market(
    80,
    {name: Listing(number * 3, 60, number, gaps=0.05) for number, name in enumerate(["AAA", "BBB", "DDD"])},
    {},
)


@pytest.mark.parametrize("name", ["Alpha158", "Alpha158vwap", "Alpha360vwap"])
def test_handler_equals_qlib(tmp_path: Path, name: str):
    """The raw, the inference and the learning frame, with fitted processors."""
    open_dataset(MARKET.write(tmp_path / "us"))
    days = [str(day) for day in weekdays(80)]
    asked = {
        "instruments": "all",
        "start_time": days[10],
        "end_time": days[70],
        "fit_start_time": days[10],
        "fit_end_time": days[40],
        "infer_processors": [
            {"class": "ZScoreNorm", "kwargs": {"fields_group": "feature"}},
            {"class": "Fillna", "kwargs": {"fields_group": "feature"}},
        ],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want, found = getattr(theirs, name)(**asked), getattr(ours, name)(**asked)
        for key in ("raw", "infer", "learn"):
            one, other = (each.fetch(data_key=key, col_set="__all") for each in (want, found))
            require_same(one, other)
    assert type(found.learn_processors[1]) is processors.CSZScoreNorm


def test_own_features_use_our_loader_in_place_of_qlibs():
    """Qlib's loader is replaced; a loader of another class path stays."""
    kind = "qlib_shadow_runner.plugins.loader"
    config = {"class": "QlibDataLoader", "kwargs": {"config": {"feature": ["$close"]}}}
    found = ours.DataHandlerLP(instruments="all", data_loader=config)
    assert type(found.data_loader).__module__ == kind
    same = ours.DataHandlerLP(
        instruments="all", data_loader={**config, "module_path": "qlib.data.dataset.loader"}
    )
    assert type(same.data_loader).__module__ == kind
    static = {"class": "StaticDataLoader", "kwargs": {"config": frame(3, 3, odd=False)}}
    foreign = ours.DataHandlerLP(instruments=None, data_loader=static)
    assert type(foreign.data_loader).__name__ == "StaticDataLoader"

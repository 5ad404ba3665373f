"""The same request to Qlib's loader and to ours, and whether every bit is the same."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import qlib
from qlib.data.dataset import loader
from qlib.utils import lazy_sort_index

from qlib_shadow_runner.plugins import loader as fast

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.plugins.feature_stats import FeatureStats

Config = dict[str, tuple[list[str], list[str]]]


def open_dataset(folder: Path) -> None:
    """Let Qlib forget the dataset before and take this one."""
    qlib.init(provider_uri=str(folder), region="us", kernels=1, logging_level=logging.ERROR)


def named(*expressions: str) -> tuple[list[str], list[str]]:
    """Name expressions C0, C1 and so on."""
    return list(expressions), [f"C{number}" for number in range(len(expressions))]


def by_qlib(config: Config, *asked: Any) -> pd.DataFrame:
    """Load as the handlers do, by Qlib."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Qlib takes logarithms of what has none
        found: pd.DataFrame = lazy_sort_index(loader.QlibDataLoader(config).load(*asked))
        return found


def by_us(config: Config, *asked: Any) -> tuple[pd.DataFrame, FeatureStats]:
    """Load by the arrays, and say how it went."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="qlib")
        ours = fast.QlibDataLoader(config)
        found: pd.DataFrame = lazy_sort_index(ours.load(*asked))
    return found, ours.feature_stats


def require_same(theirs: pd.DataFrame, ours: pd.DataFrame) -> None:
    """Compare rows, columns and every bit but NaN's."""
    pd.testing.assert_index_equal(theirs.index, ours.index)
    pd.testing.assert_index_equal(theirs.columns, ours.columns)
    assert list(theirs.dtypes) == list(ours.dtypes)
    one, other = theirs.to_numpy(), ours.to_numpy()
    # Bits, so that 0.0 is not -0.0; NaN has many, and none means anything.
    equal = (one.view(np.int32) == other.view(np.int32)) | (np.isnan(one) & np.isnan(other))
    unlike = [column for number, column in enumerate(theirs.columns) if not equal[:, number].all()]
    assert unlike == []

"""The same request to Qlib's loader and to ours, and a comparison of every bit."""

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

    from qlib_shadow_runner.plugins._feature_stats import FeatureStats

Config = dict[str, tuple[list[str], list[str]]]


def open_dataset(folder: Path) -> None:
    """Let Qlib open this dataset in the place of the last one."""
    qlib.init(provider_uri=str(folder), region="us", kernels=1, logging_level=logging.ERROR)


def named(*expressions: str) -> tuple[list[str], list[str]]:
    """Return the expressions with the names C0, C1 and so on."""
    return list(expressions), [f"C{number}" for number in range(len(expressions))]


def by_qlib(config: Config, *asked: Any) -> pd.DataFrame:
    """Return the frame of Qlib's loader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Qlib takes logarithms of negative values
        found: pd.DataFrame = lazy_sort_index(loader.QlibDataLoader(config).load(*asked))
        return found


def by_us(config: Config, *asked: Any) -> tuple[pd.DataFrame, FeatureStats]:
    """Return the frame of our loader, and its statistics."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="qlib")
        ours = fast.QlibDataLoader(config)
        found: pd.DataFrame = lazy_sort_index(ours.load(*asked))
    return found, ours.feature_stats


def require_same(theirs: pd.DataFrame, ours: pd.DataFrame) -> None:
    """Compare rows, columns and every bit except in NaN."""
    pd.testing.assert_index_equal(theirs.index, ours.index)
    pd.testing.assert_index_equal(theirs.columns, ours.columns)
    assert list(theirs.dtypes) == list(ours.dtypes)
    one, other = theirs.to_numpy(), ours.to_numpy()
    # Bits, so that 0.0 differs from -0.0; the bits of NaN mean nothing.
    equal = (one.view(np.int32) == other.view(np.int32)) | (np.isnan(one) & np.isnan(other))
    unlike = [column for number, column in enumerate(theirs.columns) if not equal[:, number].all()]
    assert unlike == []

"""The comparison of backtests notices every difference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from qlib.backtest.position import Position
from qlib.utils.index_data import SingleData
from tests.unit.runner.plugins.backtest.differences import differences

NEXT = np.nextafter(1.0, 2.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, NEXT),
        (0.0, -0.0),
        (1, 1.0),
        (np.float64(1), 1.0),
        (None, 0.0),
        (np.nan, 0.0),
        ({"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}),
        ({"a": [1.0]}, {"a": [NEXT]}),
        (pd.Series([1.0]), pd.Series([NEXT])),
        (pd.Series([1.0]), pd.Series([1.0], index=[7])),
        (pd.Series([1.0]), pd.Series([1.0], dtype="float32")),
        (pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [1.0]})),
        (pd.Series([1.0, None], dtype=object), pd.Series([1.0, 2.0], dtype=object)),
        (Position(1.0), Position(NEXT)),
        (SingleData({"a": 1.0}), SingleData({"a": NEXT})),
        (SingleData({"a": 1.0}), SingleData({"b": 1.0})),
    ],
)
def test_unequal_objects_differ(one: object, other: object) -> None:
    """Values, types, order, rows."""
    assert list(differences(one, other)) != []


def test_equal_objects_do_not_differ() -> None:
    """NaN equals NaN, whatever its bits."""
    for make in (lambda: {"a": [np.nan, None, "x"]}, lambda: Position(3), lambda: SingleData({"a": np.nan})):
        assert list(differences(make(), make())) == []

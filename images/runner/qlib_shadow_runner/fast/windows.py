"""Rolling operators over all instruments at once, by pandas' own kernels with the windows of each instrument.

What `Series.rolling(days, min_periods=1)` does to one instrument, these do to all. `kernels` has the loops
for which pandas would call Python, or a slow structure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas._libs.window.aggregations as pandas_windows  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from qlib_shadow_runner.fast.layout import Layout

    Values = npt.NDArray[Any]
    Floats = npt.NDArray[np.float64]

FLAT: Final = 2e-5
"""Qlib calls a deviation below this none."""
NEEDED: Final = 1
"""Values that a window must have: Qlib's min_periods."""


def roll(name: str, values: Values, layout: Layout, days: int) -> Floats:
    """Apply one of pandas' operators."""
    if name == "Count":
        return _roll(pandas_windows.roll_sum, (~np.isnan(values)).astype(np.float64), layout, days)
    prepared = prepare(values)
    if name == "Std":
        return deviation(prepared, layout, days)
    if name == "Var":
        return _roll(pandas_windows.roll_var, prepared, layout, days, 1)
    return _roll(SIMPLE[name], prepared, layout, days)


def deviation(prepared: Floats, layout: Layout, days: int) -> Floats:
    """Give `rolling.std()`."""
    variance = _roll(pandas_windows.roll_var, prepared, layout, days, 1)
    result: Floats = np.sqrt(variance)
    result[variance < 0] = 0
    return result


def index_of_extreme(values: Values, layout: Layout, days: int, *, largest: bool) -> Floats:
    """Say how many days into the window its extreme is."""
    from qlib_shadow_runner.fast import kernels  # noqa: PLC0415 - compiling is for who computes

    out = np.empty(layout.size)
    kernels.index_of_extreme(prepare(values), layout.starts(days), out, largest)
    return out


def rank(values: Values, layout: Layout, days: int) -> Floats:
    """Rank the last value in its window."""
    from qlib_shadow_runner.fast import kernels  # noqa: PLC0415

    out = np.empty(layout.size)
    kernels.rank(prepare(values), layout.starts(days), out)
    return out


def quantile(values: Values, layout: Layout, days: int, share: float) -> Floats:
    """Give a quantile of the window."""
    from qlib_shadow_runner.fast import kernels  # noqa: PLC0415

    out = np.empty(layout.size)
    kernels.quantile(prepare(values), layout.starts(days), days, share, out)
    return out


def regress(name: str, values: Values, layout: Layout, days: int) -> Floats:
    """Regress on the days, as Qlib does: on the values as they are, infinite ones too."""
    from qlib_shadow_runner.fast import kernels  # noqa: PLC0415

    out = np.empty(layout.size)
    wanted = {"Slope": 0, "Rsquare": 1, "Resi": 2}[name]
    kernels.regress(values.astype(np.float64), layout.beginnings, days, wanted, out)
    if name == "Rsquare":
        out[_is_flat(deviation(prepare(values), layout, days))] = np.nan
    return out


def correlate(name: str, left: Values, right: Values, layout: Layout, days: int) -> Floats:
    """Give a correlation or a covariance of two in the window."""
    both = prepare(left + 0 * right), prepare(right + 0 * left)
    if name == "Cov":
        covariance: Floats = pandas_windows.roll_cov(*both, layout.starts(days), layout.ends, NEEDED, 1)
        return covariance
    found: Floats = pandas_windows.roll_corr(*both, layout.starts(days), layout.ends, NEEDED)
    for side in (left, right):
        found[_is_flat(deviation(prepare(side), layout, days))] = np.nan
    return found


def prepare(values: Values) -> Floats:
    """Do what pandas does first: 64 bits, and NaN for infinite values."""
    prepared = values.astype(np.float64)
    infinite = np.isinf(prepared)
    if infinite.any():
        prepared[infinite] = np.nan
    return prepared


def _roll(kernel: Callable[..., Floats], values: Floats, layout: Layout, days: int, *more: int) -> Floats:
    return kernel(values, layout.starts(days), layout.ends, NEEDED, *more)


def _is_flat(deviations: Floats) -> npt.NDArray[np.bool_]:
    return deviations <= FLAT  # what numpy.isclose(deviations, 0, atol=FLAT) comes to


SIMPLE: Final[Mapping[str, Callable[..., Floats]]] = {
    "Mean": pandas_windows.roll_mean,
    "Sum": pandas_windows.roll_sum,
    "Max": pandas_windows.roll_max,
    "Min": pandas_windows.roll_min,
    "Med": pandas_windows.roll_median_c,
}
"""Qlib's names for what pandas does alone."""

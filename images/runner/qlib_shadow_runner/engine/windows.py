"""Rolling operators over all instruments at once, with the windows of each instrument.

They give what `Series.rolling(days, min_periods=1)` gives for each instrument: by pandas' own kernels, by
`running` where a sum depends on earlier days, and by `kernels` where pandas would call Python or use a slow
structure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas._libs.window.aggregations as pandas_windows  # type: ignore[import-not-found]

from qlib_shadow_runner.engine.memory import Unsettled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from qlib_shadow_runner.engine.layout import Layout
    from qlib_shadow_runner.engine.memory import Track

    Values = npt.NDArray[Any]
    Floats = npt.NDArray[np.float64]

FLAT: Final = 2e-5
"""Qlib treats a deviation up to this as zero."""
NEEDED: Final = 1
"""The number of values that a window must have: Qlib's min_periods."""
SUMS, PAIR, DEVIATION = 7, 10, 5
"""The numbers that a regression, a correlation and a deviation save."""


def roll(name: str, values: Values, layout: Layout, days: int, track: Track) -> Floats:
    """Return one of pandas' running sums."""
    if name == "Count":
        return _total((~np.isnan(values)).astype(np.float64), layout, days, track, mean=False)
    prepared = prepare(values)
    if name == "Std":
        return deviation(prepared, layout, days, track)
    if name == "Var":
        return variance(prepared, layout, days, track)
    return _total(prepared, layout, days, track, mean=name == "Mean")


def _total(prepared: Floats, layout: Layout, days: int, track: Track, *, mean: bool) -> Floats:
    from qlib_shadow_runner.engine import running  # noqa: PLC0415 - compiled only where it is used

    out = np.empty(layout.size)
    running.total(prepared, layout.offsets, track.skip, track.save, days, track.kept, mean, out)
    return out


def variance(prepared: Floats, layout: Layout, days: int, track: Track) -> Floats:
    """Return `rolling.var()`."""
    from qlib_shadow_runner.engine import running  # noqa: PLC0415

    out = np.empty(layout.size)
    running.variance(prepared, layout.offsets, track.skip, track.save, days, track.kept, out)
    return out


def deviation(prepared: Floats, layout: Layout, days: int, track: Track) -> Floats:
    """Return `rolling.std()`."""
    found = variance(prepared, layout, days, track)
    result: Floats = np.sqrt(found)
    result[found < 0] = 0
    return result


def extreme(name: str, values: Values, layout: Layout, days: int) -> Floats:
    """Return the largest or the smallest value of the window."""
    return _roll(EXTREMES[name], prepare(values), layout, days)


def median(values: Values, layout: Layout, days: int, track: Track) -> Floats:
    """Return the median of the window."""
    prepared = prepare(values)
    _mark_zeros(prepared, layout, track)
    return _roll(pandas_windows.roll_median_c, prepared, layout, days)


def index_of_extreme(values: Values, layout: Layout, days: int, *, largest: bool) -> Floats:
    """Return the position in the window of its largest or smallest value, counted from 1."""
    from qlib_shadow_runner.engine import kernels  # noqa: PLC0415 - compiled only where it is used

    out = np.empty(layout.size)
    kernels.index_of_extreme(prepare(values), layout.starts(days), out, largest)
    return out


def rank(values: Values, layout: Layout, days: int) -> Floats:
    """Return the rank of the last value in its window."""
    from qlib_shadow_runner.engine import kernels  # noqa: PLC0415

    out = np.empty(layout.size)
    kernels.rank(prepare(values), layout.starts(days), out)
    return out


def quantile(values: Values, layout: Layout, days: int, share: float, track: Track) -> Floats:
    """Return a quantile of the window."""
    from qlib_shadow_runner.engine import kernels  # noqa: PLC0415

    prepared, out = prepare(values), np.empty(layout.size)
    _mark_zeros(prepared, layout, track)
    kernels.quantile(prepared, layout.starts(days), days, share, out)
    return out


def regress(name: str, values: Values, layout: Layout, days: int, track: Track) -> Floats:
    """Return a regression on the days as Qlib computes it, infinite values included."""
    from qlib_shadow_runner.engine import kernels  # noqa: PLC0415

    out = np.empty(layout.size)
    wanted = {"Slope": 0, "Rsquare": 1, "Resi": 2}[name]
    days_known = track.skip, track.save
    kernels.regress(values.astype(np.float64), layout.offsets, *days_known, days, wanted, track.kept, out)
    if name == "Rsquare":
        deviations = deviation(prepare(values), layout, days, track.from_number(SUMS))
        out[_is_flat(deviations)] = np.nan
    return out


def correlate(  # noqa: PLR0917 - two sides
    name: str, left: Values, right: Values, layout: Layout, days: int, track: Track
) -> Floats:
    """Return a correlation or a covariance of two sides in the window."""
    from qlib_shadow_runner.engine import running  # noqa: PLC0415

    out = np.empty(layout.size)
    both = prepare(left + 0 * right), prepare(right + 0 * left)
    half = running.HALF if name == "Corr" else 0.0
    running.covariance(*both, layout.offsets, track.skip, track.save, days, track.kept, half, out)
    if name == "Corr":
        for number, side in enumerate((left, right)):
            own = track.from_number(PAIR + number * DEVIATION)
            out[_is_flat(deviation(prepare(side), layout, days, own))] = np.nan
    return out


def prepare(values: Values) -> Floats:
    """Return the values as pandas prepares them: 64 bits, with NaN for infinite values."""
    prepared = values.astype(np.float64)
    infinite = np.isinf(prepared)
    if infinite.any():
        prepared[infinite] = np.nan
    return prepared


def _roll(kernel: Callable[..., Floats], values: Floats, layout: Layout, days: int, *more: int) -> Floats:
    return kernel(values, layout.starts(days), layout.ends, NEEDED, *more)


def _mark_zeros(prepared: Floats, layout: Layout, track: Track) -> None:
    """Mark instruments with negative zeros: a sorted window's history decides which zero leaves it."""
    places = np.flatnonzero((prepared == 0) & np.signbit(prepared))
    owners = np.unique(np.searchsorted(layout.offsets, places, side="right") - 1)
    if (track.skip[owners] > 0).any():
        raise Unsettled("zeros with a sign")
    track.kept[owners, 0] = 1


def _is_flat(deviations: Floats) -> npt.NDArray[np.bool_]:
    return deviations <= FLAT  # equal to numpy.isclose(deviations, 0, atol=FLAT)


EXTREMES: Final[Mapping[str, Callable[..., Floats]]] = {
    "Max": pandas_windows.roll_max,
    "Min": pandas_windows.roll_min,
}
"""The pandas kernels that depend on the window alone."""

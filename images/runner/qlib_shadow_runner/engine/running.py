"""pandas' running sums as compiled loops that can continue from a saved state.

pandas' kernels keep a sum from day to day, add the entering and subtract the leaving value, so that rounding
accumulates from the first day on. These do the same operations in the same order, over all instruments one
after another. `memory` has a row of numbers for each instrument: the state to continue from, replaced by the
new state. Instrument i begins at `offsets[i]`; its first `skip[i]` days are in the state already, and the
state after `save[i]` days is saved. The loops follow pandas' `pandas/_libs/window/aggregations.pyx`:

    Copyright (c) 2008-2011, AQR Capital Management, LLC, Lambda Foundry, Inc. and PyData Development Team
    All rights reserved.
    Copyright (c) 2011-2026, Open source contributors.

    Redistribution and use in source and binary forms, with or without modification, are permitted provided
    that the following conditions are met:

    * Redistributions of source code must retain the above copyright notice, this list of conditions and the
      following disclaimer.
    * Redistributions in binary form must reproduce the above copyright notice, this list of conditions and
      the following disclaimer in the documentation and/or other materials provided with the distribution.
    * Neither the name of the copyright holder nor the names of its contributors may be used to endorse or
      promote products derived from this software without specific prior written permission.

    THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED
    WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A
    PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR
    ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT
    LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS
    INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR
    TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, EVEN IF
    ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from qlib_shadow_runner.engine.compiling import compiled

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Whole = npt.NDArray[np.int64]

ILL: Final = float(np.finfo(np.float64).eps) * 1e3
"""Below this share of its earlier value, a sum of squares is mostly rounding: pandas starts again."""
HUGE: Final = float(np.sqrt(np.finfo(np.float64).max))
HALF: Final = 0.5
"""The exponent of pandas' power, passed as an argument: a compiler would make a root of a constant."""
KNOWN, MEAN_X, MEAN_Y, ORIGIN_X, ORIGIN_Y, XY, XX, YY, PEAK_X, PEAK_Y = range(10)


@compiled("(f8[::1], i8[::1], i8[::1], i8[::1], i8, f8[:,:], b1, f8[::1])")
def total(  # noqa: C901, PLR0912, PLR0917 - one loop, as pandas has it
    values: Floats,
    offsets: Whole,
    skip: Whole,
    save: Whole,
    window: int,
    memory: Floats,
    mean: bool,  # noqa: FBT001
    out: Floats,
) -> None:
    """`rolling.sum()`, or `rolling.mean()`."""
    for i in range(offsets.size - 1):
        begin = offsets[i]
        known, summed, added, removed = memory[i, 0], memory[i, 1], memory[i, 2], memory[i, 3]
        same, before, negative = memory[i, 4], memory[i, 5], memory[i, 6]
        for at in range(begin, begin + skip[i]):
            out[at] = np.nan
        for at in range(begin + skip[i], offsets[i + 1]):
            value = values[at]
            if at == begin or window == 1:
                known, summed, added, removed, same, negative = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
                before = value
            elif at - window >= begin:
                leaver = values[at - window]
                if leaver == leaver:  # noqa: PLR0124 - NaN
                    known -= 1
                    y = -leaver - removed
                    t = summed + y
                    removed = t - summed - y
                    summed = t
                    if np.signbit(leaver):
                        negative -= 1
            if value == value:  # noqa: PLR0124
                known += 1
                y = value - added
                t = summed + y
                added = t - summed - y
                summed = t
                if np.signbit(value):
                    negative += 1
                same = same + 1 if value == before else 1.0
                before = value
            if known < 1:
                out[at] = np.nan
            elif same >= known:
                out[at] = before if mean else before * known
            elif not mean:
                out[at] = summed
            else:
                result = summed / known
                if (negative == 0 and result < 0) or (negative == known and result > 0):
                    result = 0.0
                out[at] = result
            if at - begin + 1 == save[i]:
                memory[i, 0], memory[i, 1], memory[i, 2], memory[i, 3] = known, summed, added, removed
                memory[i, 4], memory[i, 5], memory[i, 6] = same, before, negative


@compiled("b1(f8[::1], f8)")
def _add(state: Floats, value: float) -> bool:
    if value != value:  # noqa: PLR0124
        return False
    mean, squares, added = state[1], state[2], state[3]
    state[0] += 1
    previous = mean - added
    y = value - added
    t = y - mean
    state[3] = t + mean - y
    state[1] = mean + t / state[0]
    state[2] = squares + (value - previous) * (value - state[1])
    return bool(squares * ILL > state[2])


@compiled("b1(f8[::1], f8)")
def _remove(state: Floats, value: float) -> bool:
    if value != value:  # noqa: PLR0124
        return False
    mean, squares, removed = state[1], state[2], state[4]
    state[0] -= 1
    if state[0] == 0:
        state[1], state[2] = 0.0, 0.0
        return False
    previous = mean - removed
    y = value - removed
    t = y - mean
    state[4] = t + mean - y
    state[1] = mean - t / state[0]
    state[2] = squares - (value - previous) * (value - state[1])
    return bool(squares * ILL > state[2])


@compiled("(f8[::1], i8[::1], i8[::1], i8[::1], i8, f8[:,:], f8[::1])")
def variance(  # noqa: PLR0917
    values: Floats, offsets: Whole, skip: Whole, save: Whole, window: int, memory: Floats, out: Floats
) -> None:
    """`rolling.var()`."""
    state = np.empty(5)
    for i in range(offsets.size - 1):
        begin = offsets[i]
        state[:] = memory[i, :5]
        for at in range(begin, begin + skip[i]):
            out[at] = np.nan
        for at in range(begin + skip[i], offsets[i + 1]):
            restart = at == begin or window == 1
            if not restart:
                if at - window >= begin:
                    restart = _remove(state, values[at - window])
                restart = _add(state, values[at]) or restart
            if restart:
                state[:] = 0.0
                for j in range(max(begin, at - window + 1), at + 1):
                    _add(state, values[j])
            out[at] = state[2] / (state[0] - 1) if state[0] > 1 else np.nan
            if at - begin + 1 == save[i]:
                memory[i, :5] = state


@compiled("b1(f8[::1], f8, f8)")
def _suspect(state: Floats, x: float, y: float) -> bool:
    apart_x, apart_y = abs(x - state[MEAN_X]), abs(y - state[MEAN_Y])
    if apart_x > state[PEAK_X]:  # noqa: PLR1730 - NaN is no peak
        state[PEAK_X] = apart_x
    if apart_y > state[PEAK_Y]:  # noqa: PLR1730
        state[PEAK_Y] = apart_y
    if math.isnan(state[XY]) or math.isnan(state[XX]) or math.isnan(state[YY]):
        return True
    return bool(
        state[PEAK_X] * state[PEAK_Y] * ILL > abs(state[XY])
        or state[PEAK_X] * state[PEAK_X] * ILL > state[XX]
        or state[PEAK_Y] * state[PEAK_Y] * ILL > state[YY]
    )


@compiled("b1(f8[::1], f8, f8)")
def _add_pair(state: Floats, x: float, y: float) -> bool:
    if x != x or y != y:  # noqa: PLR0124
        return False
    state[KNOWN] += 1
    if state[KNOWN] == 1:
        state[ORIGIN_X] = x if abs(x) < HUGE else 0.0
        state[ORIGIN_Y] = y if abs(y) < HUGE else 0.0
    x -= state[ORIGIN_X]
    y -= state[ORIGIN_Y]
    dx, dy = x - state[MEAN_X], y - state[MEAN_Y]
    state[MEAN_X] += dx / state[KNOWN]
    state[MEAN_Y] += dy / state[KNOWN]
    state[XY] += (x - state[MEAN_X]) * dy
    state[XX] += (x - state[MEAN_X]) * dx
    state[YY] += (y - state[MEAN_Y]) * dy
    return bool(_suspect(state, x, y))


@compiled("b1(f8[::1], f8, f8)")
def _remove_pair(state: Floats, x: float, y: float) -> bool:
    if x != x or y != y:  # noqa: PLR0124
        return False
    x -= state[ORIGIN_X]
    y -= state[ORIGIN_Y]
    dx, dy = x - state[MEAN_X], y - state[MEAN_Y]
    state[KNOWN] -= 1
    if state[KNOWN] == 0:
        state[:] = 0.0
        return False
    state[MEAN_X] -= dx / state[KNOWN]
    state[MEAN_Y] -= dy / state[KNOWN]
    state[XY] -= (x - state[MEAN_X]) * dy
    state[XX] -= (x - state[MEAN_X]) * dx
    state[YY] -= (y - state[MEAN_Y]) * dy
    return bool(_suspect(state, x, y))


@compiled("f8(f8[::1], f8)")
def _correlation(state: Floats, half: float) -> float:
    if state[KNOWN] <= 0 or state[XX] == 0 or state[YY] == 0:
        return np.nan
    found = state[XY] / (state[XX] * state[YY]) ** half
    if found > 1:
        return 1.0
    return -1.0 if found < -1 else found


@compiled("(f8[::1], f8[::1], i8[::1], i8[::1], i8[::1], i8, f8[:,:], f8, f8[::1])")
def covariance(  # noqa: PLR0917
    left: Floats,
    right: Floats,
    offsets: Whole,
    skip: Whole,
    save: Whole,
    window: int,
    memory: Floats,
    half: float,
    out: Floats,
) -> None:
    """`rolling.corr()`, or where `half` is none `rolling.cov()`."""
    state = np.empty(10)
    for i in range(offsets.size - 1):
        begin = offsets[i]
        state[:] = memory[i, :10]
        for at in range(begin, begin + skip[i]):
            out[at] = np.nan
        for at in range(begin + skip[i], offsets[i + 1]):
            restart = at == begin or window == 1
            if not restart:
                if at - window >= begin:
                    restart = _remove_pair(state, left[at - window], right[at - window])
                restart = _add_pair(state, left[at], right[at]) or restart
            if restart:
                state[:] = 0.0
                for j in range(max(begin, at - window + 1), at + 1):
                    _add_pair(state, left[j], right[j])
            if half:
                out[at] = _correlation(state, half)
            else:
                out[at] = state[XY] / (state[KNOWN] - 1) if state[KNOWN] > 1 else np.nan
            if at - begin + 1 == save[i]:
                memory[i, :10] = state

"""Compiled loops for operators that pandas and Qlib compute slowly or by calling Python for each day.

Each performs the operations of the original in the same order, so that the results have the same bits.
`slope`, `rsquare` and `resi` follow the order of Qlib's `qlib/data/_libs/rolling.pyx`:

    Copyright (c) Microsoft Corporation.

    Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
    associated documentation files (the "Software"), to deal in the Software without restriction,
    including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense,
    and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so,
    subject to the following conditions:

    The above copyright notice and this permission notice shall be included in all copies or substantial
    portions of the Software.

    THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
    LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN
    NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY,
    WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE
    SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from qlib_shadow_runner.engine.compiling import compiled

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Whole = npt.NDArray[np.int64]


@compiled("(f8[::1], i8[::1], f8[::1], b1)")
def index_of_extreme(values: Floats, starts: Whole, out: Floats, largest: bool) -> None:  # noqa: FBT001
    """`rolling.apply(lambda x: x.argmax() + 1)`: numpy takes the first NaN for the extreme."""
    for i in range(values.size):
        start = starts[i]
        best = values[start]
        place, known, first_nan = 0, 0, -1
        for j in range(start, i + 1):
            value = values[j]
            if value != value:  # noqa: PLR0124 - NaN
                if first_nan < 0:
                    first_nan = j - start
            else:
                known += 1
                if first_nan < 0 and ((largest and value > best) or (not largest and value < best)):
                    best = value
                    place = j - start
        if known < 1:
            out[i] = np.nan
        elif first_nan >= 0:
            out[i] = first_nan + 1
        else:
            out[i] = place + 1


@compiled("(f8[::1], i8[::1], f8[::1])")
def rank(values: Floats, starts: Whole, out: Floats) -> None:
    """`rolling.rank(pct=True)`: the average rank of the last value among those that are not NaN."""
    for i in range(values.size):
        value = values[i]
        if value != value:  # noqa: PLR0124
            out[i] = np.nan
            continue
        less, equal, known = 0, 0, 0
        for j in range(starts[i], i + 1):
            other = values[j]
            if other == other:  # noqa: PLR0124
                known += 1
            if other < value:
                less += 1
            elif other == value:
                equal += 1
        out[i] = ((less + 1 + less + equal) * 0.5) / known


@compiled("i8(f8[::1], i8, f8, b1)")
def _place(ordered: Floats, count: int, value: float, after: bool) -> int:  # noqa: FBT001
    # Zeros of both signs are equal: a new value goes after its equals, and the first of them leaves.
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if ordered[middle] < value or (after and ordered[middle] == value):
            low = middle + 1
        else:
            high = middle
    return low


@compiled("(f8[::1], i8[::1], i8, f8, f8[::1])")
def quantile(values: Floats, starts: Whole, window: int, share: float, out: Floats) -> None:  # noqa: C901
    """`rolling.quantile(share)`, linear between two values: the window is kept in order."""
    ordered = np.empty(window + 1)
    count, before = 0, 0
    for i in range(values.size):
        start = starts[i]
        if start >= i:  # the first day of an instrument, or a window of one
            count, before = 0, start
        for j in range(before, start):
            leaver = values[j]
            if leaver == leaver:  # noqa: PLR0124
                for k in range(_place(ordered, count, leaver, after=False), count - 1):
                    ordered[k] = ordered[k + 1]
                count -= 1
        before = start
        value = values[i]
        if value == value:  # noqa: PLR0124
            place = _place(ordered, count, value, after=True)
            for k in range(count, place, -1):
                ordered[k] = ordered[k - 1]
            ordered[place] = value
            count += 1
        if count < 1:
            out[i] = np.nan
        elif count == 1:
            out[i] = ordered[0]
        else:
            exact = share * (count - 1)
            low = int(exact)
            if exact == low:
                out[i] = ordered[low]
            else:
                out[i] = ordered[low] + (ordered[low + 1] - ordered[low]) * (exact - low)


@compiled("(f8[::1], i8[::1], i8[::1], i8[::1], i8, i8, f8[:,:], f8[::1])")
def regress(  # noqa: PLR0917
    values: Floats,
    offsets: Whole,
    skip: Whole,
    save: Whole,
    window: int,
    wanted: int,
    memory: Floats,
    out: Floats,
) -> None:
    """Qlib's sums of a regression on the days: 0 for the slope, 1 for R squared, 2 for the last residual.

    `skip`, `save` and `memory` have the meaning that they have in `running`.
    """
    for number in range(offsets.size - 1):
        begin = offsets[number]
        i_sum, x_sum, x2_sum = memory[number, 0], memory[number, 1], memory[number, 2]
        y_sum, y2_sum, xy_sum = memory[number, 3], memory[number, 4], memory[number, 5]
        unknown = memory[number, 6]
        for i in range(begin, begin + skip[number]):
            out[i] = np.nan
        for i in range(begin + skip[number], offsets[number + 1]):
            if i == begin:
                i_sum, x_sum, x2_sum, y_sum, y2_sum, xy_sum = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
                unknown = float(window)
            value = values[i]
            xy_sum = xy_sum - y_sum
            x2_sum = x2_sum + i_sum - 2 * x_sum
            x_sum = x_sum - i_sum
            leaving = i - window
            if leaving >= begin and values[leaving] == values[leaving]:
                leaver = values[leaving]
                i_sum -= 1
                y_sum -= leaver
                y2_sum -= leaver * leaver
            else:
                unknown -= 1
            if value != value:  # noqa: PLR0124
                unknown += 1
            else:
                i_sum += 1
                x_sum += window
                x2_sum += window * window
                y_sum += value
                y2_sum += value * value
                xy_sum += window * value
            n = window - unknown
            spread = n * x2_sum - x_sum * x_sum
            shared = n * xy_sum - x_sum * y_sum
            if wanted == 1:
                r = shared / math.sqrt(spread * (n * y2_sum - y_sum * y_sum))
                out[i] = r * r
            elif wanted == 0:
                out[i] = shared / spread
            else:
                slope = shared / spread
                mean = y_sum / n - slope * (x_sum / n)
                out[i] = value - (slope * window + mean)
            if i - begin + 1 == save[number]:
                memory[number, 0], memory[number, 1], memory[number, 2] = i_sum, x_sum, x2_sum
                memory[number, 3], memory[number, 4], memory[number, 5] = y_sum, y2_sum, xy_sum
                memory[number, 6] = unknown

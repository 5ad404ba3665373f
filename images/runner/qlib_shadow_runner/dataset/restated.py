"""Which instruments have another past than in an earlier version of a dataset.

A new adjustment changes every earlier price by one factor, and no return. So returns are compared, and only
where a file does not begin with the bytes of the earlier version.
"""

from __future__ import annotations

import math
import sys
from array import array
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.dataset.qlib_layout import BIN_SUFFIX, FLOAT_BYTES, feature_folder
from qlib_shadow_runner.storage.relative_names import UnsafeNameError
from qlib_shadow_runner.storage.untrusted import PRICES, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qlib_shadow_runner.dataset.qlib_layout import Dataset

SAME_RETURN: Final = 1e-3
"""Returns of one day that differ by more are of different prices."""


def restated(before: Dataset, now: Dataset, symbols: Iterable[str]) -> list[str]:
    """Return the instruments whose closes move otherwise than they did in the earlier version."""
    places = {day: number for number, day in enumerate(now.calendar)}
    where = [places.get(day) for day in before.calendar]
    return [symbol for symbol in symbols if _is_restated(before, now, symbol, where)]


def _is_restated(before: Dataset, now: Dataset, symbol: str, where: Sequence[int | None]) -> bool:
    old, new = _content(before, symbol), _content(now, symbol)
    if not old or not new or (where[0] == 0 and new.startswith(old)):
        return False
    then, today = _closes(old), _closes(new)
    earlier = [then.get(number, math.nan) for number in range(len(where))]
    later = [math.nan if place is None else today.get(place, math.nan) for place in where]
    return any(
        abs(earlier[number] / earlier[number - 1] - later[number] / later[number - 1]) > SAME_RETURN
        for number in range(1, len(where))
        if earlier[number - 1] and later[number - 1]
    )


def _content(dataset: Dataset, symbol: str) -> bytes:
    """Return the bytes of a symbol's closes; none where there is no file that can be read."""
    try:
        return read_file(dataset.folder, f"features/{feature_folder(symbol)}/close{BIN_SUFFIX}", PRICES)
    except (OSError, UnsafeNameError):
        return b""


def _closes(content: bytes) -> dict[int, float]:
    """Return the closes by the number of their day."""
    values = array("f", content[: len(content) // FLOAT_BYTES * FLOAT_BYTES])
    if sys.byteorder == "big":
        values.byteswap()
    if not values or not math.isfinite(values[0]):
        return {}
    return dict(enumerate(values[1:], start=int(values[0])))

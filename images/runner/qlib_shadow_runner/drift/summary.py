"""What a training leaves of its features, `summary.json` of the model: bins, counts, farthest window.

A summary of another run is input: its size and every number in it are checked before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Self, TypeGuard

import numpy as np

from qlib_shadow_runner.drift.bins import SHARES, counts_by_day, edges_of
from qlib_shadow_runner.drift.distance import LOOKED_AT, SPACING, farthest
from qlib_shadow_runner.drift.measure import drift_of_counts, looked_at, starts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from qlib_shadow_runner.drift.bins import Floats

FORMAT: Final = 1
NAME_MAX: Final = 500
COUNT_MAX: Final = 1 << 40
NUMBER_MAX: Final = 1e38
"""What a number of 32 bits can be; NaN is not below it."""


class SummaryError(ValueError):
    """A document that is no summary, with what is wrong."""


@dataclass(frozen=True)
class FeatureSummary:
    """One feature on the days of train."""

    name: str
    edges: Sequence[float]
    counts: Sequence[int]
    """Of each bin, missing values last."""
    farthest: float
    """The greatest distance that a window of these days has from all of them."""


@dataclass(frozen=True)
class Summary:
    """The features on the days of train."""

    days: int
    features: Sequence[FeatureSummary]

    def document(self) -> dict[str, Any]:
        """Return what is written."""
        return {"format": FORMAT, "days": self.days, "features": [vars(one) for one in self.features]}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Return the summary that a document holds, or raise SummaryError."""
        features = document.get("features")
        if document.get("format") != FORMAT or not isinstance(features, list) or not features:
            raise SummaryError(f"it has no features, or not format {FORMAT}")
        days = document.get("days")
        if not _is_whole(days):
            raise SummaryError("its days are no number of days")
        found = [_feature(one) for one in features]
        if len({one.name for one in found}) != len(found):
            raise SummaryError("it names a feature twice")
        return cls(int(days), found)


def summarize(
    names: Sequence[str], column: Callable[[int], Floats], days: npt.NDArray[np.int64]
) -> Summary | None:
    """Return the summary of rows sorted by day; None where the days are fewer than two windows.

    `column` returns all values of a feature, by its number.
    """
    starts = starts_of(days)
    rows, numbers = looked_at(starts)
    many = int(numbers[-1]) + 1 if len(numbers) else 0
    if many < 2 * LOOKED_AT:
        return None
    found = []
    for place, name in enumerate(names):
        values = column(place).take(rows)
        edges = edges_of(values)
        counts = counts_by_day(values, numbers, many, edges)
        total = counts.sum(axis=0)
        found.append(FeatureSummary(name, edges.tolist(), total.tolist(), farthest(counts)))
    return Summary(many * SPACING, found)


def drift_of_features(
    summary: Summary, names: Iterable[str], column: Callable[[int], Floats], days: npt.NDArray[np.int64]
) -> dict[str, float]:
    """Return how far each feature of the last days is from train; rows are sorted by day.

    A feature that the summary does not know is left out.
    """
    known = {one.name: one for one in summary.features}
    rows, numbers = looked_at(starts_of(days))
    last = numbers > numbers[-1] - LOOKED_AT if len(numbers) else numbers.astype(bool)
    rows = rows[last]
    found = {}
    for place, name in enumerate(names):
        if one := known.get(name):
            values = column(place).take(rows)
            edges = np.asarray(one.edges, values.dtype)
            counts = counts_by_day(values, np.zeros(len(rows), np.int64), 1, edges)[0]
            found[name] = drift_of_counts(counts, np.asarray(one.counts), one.farthest)
    return found


def _feature(one: object) -> FeatureSummary:
    if not isinstance(one, dict):
        raise SummaryError("a feature is no object")
    name, edges, counts = one.get("name"), one.get("edges"), one.get("counts")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX:
        raise SummaryError("a feature has no name")
    if not isinstance(edges, list) or len(edges) > len(SHARES) or not all(map(_is_number, edges)):
        raise SummaryError(f"the edges of {name!r:.60} are no numbers, or too many")
    if any(left >= right for left, right in pairwise(edges)):
        raise SummaryError(f"the edges of {name!r:.60} do not ascend")
    if not isinstance(counts, list) or len(counts) != len(edges) + 2 or not all(map(_is_whole, counts)):
        raise SummaryError(f"the counts of {name!r:.60} are not those of its bins")
    most = one.get("farthest")
    if not _is_number(most) or most <= 0:
        raise SummaryError(f"the farthest window of {name!r:.60} has no distance")
    return FeatureSummary(name, [float(edge) for edge in edges], counts, float(most))


def _is_whole(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= COUNT_MAX


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float) and abs(value) < NUMBER_MAX  # type: ignore[arg-type]

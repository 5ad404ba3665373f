"""The quality of the scores, independent of any portfolio: IC, groups, persistence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from qlib_shadow_runner.analysis.chance import Chance
from qlib_shadow_runner.analysis.statistics import finite, undefined_is_nan

if TYPE_CHECKING:
    from qlib_shadow_runner.analysis.outputs import Outputs

GROUPS: Final = 5
FEWEST: Final = 2
"""The fewest instruments of a group on a day that counts."""


@dataclass(frozen=True)
class Correlation:
    """The daily correlation of scores and labels, in figures."""

    days: int
    mean: float | None
    deviation: float | None
    ratio: float | None
    positive: float | None
    chance: Chance

    @classmethod
    def of(cls, series: pd.Series | None, horizon: int) -> Correlation | None:
        """Return the figures of a correlation with a label of this horizon, or None if no day has one."""
        found = pd.Series(dtype="float64") if series is None else series.dropna()
        chance = Chance.of(found, horizon)
        if chance is None:
            return None
        mean, deviation = float(found.mean()), float(found.std())
        return cls(
            days=len(found),
            mean=finite(mean),
            deviation=finite(deviation),
            ratio=finite(mean / deviation) if deviation else None,
            positive=finite((found > 0).mean()),
            chance=chance,
        )


@dataclass(frozen=True)
class Ranked:
    """One instrument's rank on the last day and on the day before."""

    rank: int
    instrument: str
    score: float
    before: int | None


@dataclass(frozen=True)
class Signals:
    """The scores of the test segment, with their labels."""

    outputs: Outputs

    @cached_property
    def groups(self) -> pd.DataFrame | None:
        """Return the mean label of each fifth of the scores for each day; column 1 is the best fifth."""
        scores, labels = self.outputs.scores, self.outputs.labels
        if scores is None or labels is None:
            return None
        both = pd.DataFrame({"score": scores, "label": labels}).dropna()
        return _means_by_group(both)

    @cached_property
    def long_short(self) -> pd.Series | None:
        """Return the best fifth's label minus the worst fifth's."""
        return None if self.groups is None else self.groups[1] - self.groups[GROUPS]

    @cached_property
    def table(self) -> pd.DataFrame | None:
        """Return the scores with a row for each day and a column for each instrument."""
        scores = self.outputs.scores
        return None if scores is None else scores.unstack()  # noqa: PD010 - one value each

    @cached_property
    def persistence(self) -> pd.Series | None:
        """Return the rank correlation of each day's scores with those of the day before."""
        table = self.table
        if table is None or len(table) < 2:  # noqa: PLR2004 - there is no day before
            return None
        return rowwise_correlation(table.iloc[1:], table.shift(1).iloc[1:])

    @cached_property
    def last_day(self) -> pd.Timestamp | None:
        """Return the last day that has scores."""
        scores = self.outputs.scores
        return None if scores is None else scores.index.get_level_values(0).max()

    @cached_property
    def today(self) -> list[Ranked]:
        """Return the last day's ranking as in the signals file; equal scores are sorted by name.

        On a live day the scores are the live model's.
        """
        scores = self.outputs.scores
        if scores is None:
            return []
        days = scores.index.get_level_values(0).unique().sort_values()
        before = _ranks(self._to_rank(days[-2])) if len(days) > 1 else {}
        now = self._to_rank(days[-1])
        return [Ranked(rank, name, float(now[name]), before.get(name)) for name, rank in _ranks(now).items()]

    def _to_rank(self, day: pd.Timestamp) -> pd.Series:
        live, scores = self.outputs.live_scores, self.outputs.scores
        assert scores is not None, "there is this day"
        of_live_model = live is not None and day in live.index.get_level_values(0)
        return live.xs(day) if live is not None and of_live_model else scores.xs(day)


def _ranks(scores: pd.Series) -> dict[str, int]:
    order = sorted(scores.items(), key=lambda pair: (-pair[1], str(pair[0])))
    return {str(name): rank for rank, (name, _) in enumerate(order, start=1)}


def _means_by_group(both: pd.DataFrame) -> pd.DataFrame | None:
    """Return the mean label of each fifth of each day; equal scores keep their order."""
    day, days = pd.factorize(both.index.get_level_values(0))
    order = np.lexsort((-both["score"].to_numpy(), day))
    day, label = day[order], both["label"].to_numpy()[order]
    size = np.bincount(day, minlength=len(days))
    place = np.arange(len(day)) - (np.cumsum(size) - size)[day]
    cell = day * GROUPS + place * GROUPS // size[day]
    enough = size >= GROUPS * FEWEST
    if not enough.any():
        return None
    count, total = (np.bincount(cell, weights, len(days) * GROUPS) for weights in (None, label))
    with np.errstate(invalid="ignore"):
        means = (total / count).reshape(-1, GROUPS)
    return pd.DataFrame(means[enough], index=days[enough], columns=range(1, GROUPS + 1)).sort_index()


def rowwise_correlation(left: pd.DataFrame, right: pd.DataFrame, *, ranked: bool = True) -> pd.Series:
    """Return the correlation of each row, or of its ranks, over the columns with a value in both.

    A row without different values in both has none.
    """
    both = left.notna() & right.notna()
    tables = (table.where(both) for table in (left, right))
    a, b = ((table.rank(axis=1) if ranked else table).to_numpy() for table in tables)
    with undefined_is_nan():
        differ = np.logical_and(*(np.nanmax(values, axis=1) > np.nanmin(values, axis=1) for values in (a, b)))
        a = a - np.nanmean(a, axis=1, keepdims=True)
        b = b - np.nanmean(b, axis=1, keepdims=True)
        found = np.nansum(a * b, axis=1) / np.sqrt(np.nansum(a * a, axis=1) * np.nansum(b * b, axis=1))
    return pd.Series(np.where(differ, found, np.nan), index=left.index)


def by_month(series: pd.Series) -> dict[int, dict[int, float]]:
    """Return the mean of each month, by year."""
    found: dict[int, dict[int, float]] = {}
    values = series.dropna()
    for key, value in values.groupby(pd.DatetimeIndex(values.index).strftime("%Y %m")).mean().items():
        year, month = map(int, str(key).split())
        found.setdefault(year, {})[month] = float(value)
    return found

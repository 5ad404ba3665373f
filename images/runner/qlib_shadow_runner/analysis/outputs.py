"""What Qlib's recorder left of a run, as series, from the run's tables, as far as they exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from qlib_shadow_runner.analysis.frozen import Frozen
from qlib_shadow_runner.analysis.known_types import well_typed
from qlib_shadow_runner.analysis.positions import Holding
from qlib_shadow_runner.contract import METADATA_FILE
from qlib_shadow_runner.pickles.files import (
    ACCOUNT,
    GAINS,
    IC,
    LABELS,
    LIVE,
    POSITIONS,
    PREDICTIONS,
    RANK_IC,
    RECORDED_IN,
    ROUNDS,
    SEGMENT_IC,
)
from qlib_shadow_runner.storage.files import read_required_object

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa

    from qlib_shadow_runner.analysis.positions import Positions
    from qlib_shadow_runner.tables.layout import Tables

DAYS: Final = "datetime64[ms]"
"""The unit of Arrow's days; as objects, days take longer than everything else."""


NO_FIGURE: Final = 1e50
"""No price, return or account is as large."""


@dataclass(frozen=True)
class Rounds:
    """The rounds of boosting: one tree each."""

    trained: int
    used: int
    """Up to the best iteration on the validation segment; all where there was no early stopping."""


@dataclass(frozen=True)
class Outputs:
    """The tables of one run as series; one that is missing or cannot be read is None."""

    tables: Tables
    faults: dict[str, str] = field(default_factory=dict)
    """The files that could not be read, and why."""

    def __post_init__(self) -> None:
        """Begin with what was found when the tables were made and read."""
        self.faults.update(self.tables.faults)

    @cached_property
    def backtest(self) -> pd.DataFrame | None:
        """Return Qlib's daily account of the portfolio."""
        return self._by_day(ACCOUNT)

    @cached_property
    def ic(self) -> pd.Series | None:
        """Return the daily information coefficient."""
        return self._series_by_day(IC)

    @cached_property
    def rank_ic(self) -> pd.Series | None:
        """Return the daily rank correlation."""
        return self._series_by_day(RANK_IC)

    @cached_property
    def segment_ic(self) -> pd.DataFrame | None:
        """Return IC and Rank IC of train and valid, by day, beside the segment."""
        table = self.tables.found.get(SEGMENT_IC)
        if table is None:
            return None
        values = {name: table[name].to_numpy() for name in ("ic", "rank_ic")}
        return _figures(pd.DataFrame(values)).assign(segment=table["segment"].to_pylist())

    @cached_property
    def scores(self) -> pd.Series | None:
        """Return the predictions by day and instrument."""
        return self._by_day_and_instrument(PREDICTIONS)

    @cached_property
    def live_scores(self) -> pd.Series | None:
        """Return the live model's predictions of the days whose outcome is not known yet."""
        return self._by_day_and_instrument(LIVE)

    @cached_property
    def labels(self) -> pd.Series | None:
        """Return the labels by day and instrument."""
        found = self._by_day_and_instrument(LABELS)
        return None if found is None else found.where(found.abs() < NO_FIGURE)

    @cached_property
    def holdings(self) -> pd.DataFrame | None:
        """Return the number of instruments held at the end of each day, and the largest one's share."""
        if self.positions is None:
            return None
        rows = {
            day: (len(held), max((one.weight for one in held.values()), default=0.0))
            for day, held in self.positions
        }
        table = pd.DataFrame.from_dict(rows, orient="index", columns=["count", "largest"])
        return _figures(table)

    @cached_property
    def frozen(self) -> Frozen | None:
        """Return the holdings without a new price on the worst day, if there are any."""
        return None if self.positions is None else Frozen.of(self.positions)

    @cached_property
    def positions(self) -> Positions | None:
        """Return price, share of the account and amount of each holding, day by day."""
        table = self.tables.found.get(POSITIONS)
        if table is None:
            return None
        found: dict[datetime, dict[str, Holding]] = {}
        days = table["date"].to_numpy().astype("datetime64[s]").tolist()
        numbers = zip(*(table[name].to_numpy().tolist() for name in Holding._fields), strict=True)
        for day, name, holding in zip(days, table["instrument"].to_pylist(), numbers, strict=True):
            held = found.setdefault(day, {})
            if name is not None:
                held[name] = Holding(*holding)
        return list(found.items()) or None

    @cached_property
    def rounds(self) -> Rounds | None:
        """Return how many rounds the model was trained, and how many it uses; None for other models."""
        table = self.tables.found.get(ROUNDS)
        rows = [] if table is None else table.to_pylist()
        return Rounds(rows[0]["trained"], rows[0]["used"]) if rows else None

    @cached_property
    def gains(self) -> pd.Series | None:
        """Return each feature's total gain in the trained trees, the largest first."""
        table = self.tables.found.get(GAINS)
        if table is None:
            return None
        gains = pd.Series(table["gain"].to_numpy(), index=table["feature"].to_pylist(), dtype="float64")
        return gains.where(gains.abs() < NO_FIGURE).sort_values(ascending=False, kind="stable")

    def _series_by_day(self, name: str) -> pd.Series | None:
        found = self._by_day(name)
        return None if found is None or found.empty else found.iloc[:, 0]

    def _by_day(self, name: str) -> pd.DataFrame | None:
        """Return a table by day, with NaN for what is no figure."""
        table = self.tables.found.get(name)
        if table is None:
            return None
        days = pd.DatetimeIndex(table["date"].to_numpy().astype(DAYS), name="datetime")
        columns = {column: table[column].to_numpy() for column in table.column_names[1:]}
        return _figures(pd.DataFrame(columns, index=days))

    def _by_day_and_instrument(self, name: str) -> pd.Series | None:
        """Return one value for each day and instrument; an infinite one is kept, because it has a rank."""
        table = self.tables.found.get(name)
        if table is None or not len(table):
            return None
        index = _index(table)
        if not index.is_unique:
            self.faults[RECORDED_IN[name]] = "cannot be read (it names an instrument twice on one day)"
            return None
        return pd.Series(table.column(2).to_numpy(), index=index, dtype="float64")


def _figures(table: pd.DataFrame) -> pd.DataFrame:
    """Return numbers, with NaN for those that are infinite or whose squares would be."""
    numbers = table.astype("float64")
    return numbers.where(numbers.abs() < NO_FIGURE)


def _index(table: pa.Table) -> pd.MultiIndex:
    """Return the days and instruments of a table; each name is looked at once."""
    names = table["instrument"].combine_chunks().dictionary_encode()
    levels = pd.Index(names.dictionary.to_pandas())
    days, level = np.unique(table["date"].to_numpy().astype(DAYS), return_inverse=True)
    order = levels.argsort()
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return pd.MultiIndex(
        levels=[pd.DatetimeIndex(days), levels[order]],  # type: ignore[list-item]
        codes=[level, place[names.indices.to_numpy()]],  # type: ignore[list-item]
        names=["datetime", "instrument"],
        verify_integrity=False,
    )


def read_metadata(folder: Path) -> dict[str, object]:
    """Return the run's metadata, which must exist."""
    return well_typed(read_required_object(folder, METADATA_FILE, "a run folder"))

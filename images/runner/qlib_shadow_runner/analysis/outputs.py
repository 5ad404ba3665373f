"""Read the files that Qlib's recorder leaves of a run, as far as they exist."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import pandas as pd

from qlib_shadow_runner.analysis.frozen import Frozen
from qlib_shadow_runner.analysis.known_types import well_typed
from qlib_shadow_runner.analysis.pickles import Opaque, read_opaquely
from qlib_shadow_runner.contract import METADATA_FILE, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.storage.files import read_json_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


PREDICTIONS: Final = "pred.pkl"
IC: Final = "sig_analysis/ic.pkl"
RANK_IC: Final = "sig_analysis/ric.pkl"
PORTFOLIO: Final = "portfolio_analysis/port_analysis_1day.pkl"
ACCOUNT: Final = "portfolio_analysis/report_normal_1day.pkl"


def read_artifact(artifacts: Path, name: str) -> pd.DataFrame:
    """Return one artifact as a table."""
    path = artifacts / name
    try:
        value = read_opaquely(path)
    except FileNotFoundError:
        raise StageError(
            Reason.OUTPUT_INCOMPLETE, f"{path} is missing: qrun ended without recording it; see stdout.log."
        ) from None
    table = value.to_frame() if isinstance(value, pd.Series) else value
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"it holds no table, but a {type(value).__name__}")
    return table


T = TypeVar("T")
LABELS: Final = "label.pkl"
MODEL: Final = "params.pkl"
DATASET: Final = "dataset"
POSITIONS: Final = "portfolio_analysis/positions_normal_1day.pkl"
CASH: Final = frozenset({"cash", "now_account_value", "cash_delay"})
"""Keys of a position that are not instruments."""


@dataclass(frozen=True)
class Outputs:
    """The recorder's artifacts of one run; one that is missing or unreadable is None."""

    artifacts: Path
    faults: dict[str, str] = field(default_factory=dict)
    """The artifacts that could not be read, and why."""

    @cached_property
    def backtest(self) -> pd.DataFrame | None:
        """Return Qlib's daily account of the portfolio."""
        return self._table(ACCOUNT, _account)

    @cached_property
    def ic(self) -> pd.Series | None:
        """Return the daily information coefficient."""
        return self._table(IC, _by_day)

    @cached_property
    def rank_ic(self) -> pd.Series | None:
        """Return the daily rank correlation."""
        return self._table(RANK_IC, _by_day)

    @cached_property
    def scores(self) -> pd.Series | None:
        """Return the predictions by day and instrument."""
        return self._table(PREDICTIONS, _by_day_and_instrument)

    @cached_property
    def labels(self) -> pd.Series | None:
        """Return the labels by day and instrument."""
        return self._table(LABELS, _by_day_and_instrument)

    @cached_property
    def holdings(self) -> pd.DataFrame | None:
        """Return the number of instruments held at the end of each day, and the largest one's share."""
        return None if self._positions is None else _holdings(self._positions)

    @cached_property
    def frozen(self) -> Frozen | None:
        """Return the holdings without a new price on the worst day, if there are any."""
        return None if self._positions is None else Frozen.of(self._positions)

    @cached_property
    def _positions(self) -> list[tuple[datetime, Mapping[str, tuple[float, float]]]] | None:
        """Return price and share of the account of each holding, day by day."""
        return self._object(POSITIONS, _held_by_day)

    @cached_property
    def rounds(self) -> Rounds | None:
        """Return how many rounds the model was trained, and how many it uses; None for other models."""
        return self._object(MODEL, _rounds)

    @cached_property
    def gains(self) -> pd.Series | None:
        """Return each feature's total gain in the trained trees, the largest first."""
        gains = self._object(MODEL, _gains)
        if gains is None:
            return None
        return gains.rename(self._names(len(gains))).sort_values(ascending=False, kind="stable")

    def _names(self, count: int) -> dict[str, str]:
        """Return the names of the columns, which the model knows by number."""
        names = self._object(DATASET, _feature_names) or []
        return {f"Column_{i}": name for i, name in enumerate(names)} if len(names) == count else {}

    def _table(self, name: str, take: Callable[[pd.DataFrame], T]) -> T | None:
        return self._read(name, lambda: take(read_artifact(self.artifacts, name)))

    def _object(self, name: str, take: Callable[[Any], T]) -> T | None:
        return self._read(name, lambda: take(read_opaquely(self.artifacts / name)))

    def _read(self, name: str, read: Callable[[], T]) -> T | None:
        """Return an artifact, or None; a damaged one is recorded in `unreadable`."""
        try:
            return read()
        except (StageError, FileNotFoundError):
            self.faults[name] = "is not there"
        except Exception as error:  # noqa: BLE001 - whatever a damaged pickle provokes is a finding
            self.faults[name] = f"cannot be read ({type(error).__name__}: {error})"
        return None


def _account(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table by day, with NaN for infinite values."""
    if not isinstance(table.index, pd.DatetimeIndex):
        raise TypeError("its rows are not days")
    return table.astype("float64").replace([np.inf, -np.inf], np.nan)


def _by_day(table: pd.DataFrame) -> pd.Series | None:
    return None if table.empty else _account(table).iloc[:, 0]


def _by_day_and_instrument(table: pd.DataFrame) -> pd.Series | None:
    """Return one value for each day and instrument; an infinite one is kept, because it has a rank."""
    if table.empty:
        return None
    index = table.index
    if not isinstance(index, pd.MultiIndex) or not isinstance(index.levels[0], pd.DatetimeIndex):
        raise TypeError("its rows are not days and instruments")
    if not index.is_unique:
        raise ValueError("it names an instrument twice on one day")
    return table.iloc[:, 0].astype("float64")


def _held_by_day(positions: Any) -> list[tuple[datetime, Mapping[str, tuple[float, float]]]] | None:
    found: list[tuple[datetime, Mapping[str, tuple[float, float]]]] = [
        (day, _held(one.state["position"])) for day, one in sorted(positions.items())
    ]
    if not all(isinstance(day, datetime) for day, _ in found):
        raise TypeError("its rows are not days")
    return found or None


def _held(position: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    return {
        name: (float(found.get("price", math.nan)), float(found["weight"]))
        for name, found in position.items()
        if name not in CASH
    }


def _holdings(positions: list[tuple[datetime, Mapping[str, tuple[float, float]]]]) -> pd.DataFrame:
    rows = {
        day: (len(held), max((share for _, share in held.values()), default=0.0)) for day, held in positions
    }
    return _account(pd.DataFrame.from_dict(rows, orient="index", columns=["count", "largest"]))


def _feature_names(dataset: Any) -> list[str]:
    try:
        loader = dataset.state["handler"].state["data_loader"].state
        return [str(name) for name in loader["fields"]["feature"][1]]
    except (AttributeError, KeyError, IndexError, TypeError):
        return []


@dataclass(frozen=True)
class Rounds:
    """The rounds of boosting: one tree each."""

    trained: int
    used: int
    """Up to the best iteration on the validation segment; all where there was no early stopping."""


def _rounds(model: Any) -> Rounds | None:
    text, best = _booster(model)
    if text is None:
        return None
    trained = len(re.findall(r"^Tree=", text, re.MULTILINE))
    return Rounds(trained, best if isinstance(best, int) and 0 < best <= trained else trained)


def _booster(model: Any) -> tuple[str | None, object]:
    """Return LightGBM's text of the model, and its best iteration."""
    booster = model.state.get("model") if isinstance(model, Opaque) else None
    if not isinstance(booster, Opaque):
        return None, None
    text = booster.state.get("_handle")
    return text if isinstance(text, str) else None, booster.state.get("best_iteration")


def _gains(model: Any) -> pd.Series | None:
    """Return the gain of each feature over all splits, read from LightGBM's text of the model."""
    text, _ = _booster(model)
    if text is None:
        return None
    names = re.search(r"^feature_names=(.*)$", text, re.MULTILINE)
    gains = dict.fromkeys(names[1].split(" "), 0.0) if names else {}
    order = list(gains)
    for features, found in re.findall(r"^split_feature=(.*)\nsplit_gain=(.*)$", text, re.MULTILINE):
        for feature, gain in zip(features.split(), found.split(), strict=True):
            gains[order[int(feature)]] += float(gain)
    return pd.Series(gains, dtype="float64")


def read_metadata(folder: Path) -> dict[str, object]:
    """Return the run's metadata, which must exist."""
    metadata = read_json_object(folder / METADATA_FILE)
    if metadata is None:
        raise StageError(Reason.INVALID_SPEC, f"{folder} is not a run folder: it holds no {METADATA_FILE}")
    return well_typed(metadata)

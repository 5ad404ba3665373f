"""Finds the limits of drift and decay in simulated markets, and says what they do in others."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from tests.bench.alarms.daily_ic import BEFORE_CHANGE, NIGHTS, delays, false_alarms, streams
from tests.bench.alarms.episodes import alarms, limit_for
from tests.bench.alarms.features import counted, market, nightly, rolling
from tests.bench.alarms.turnover import daily_turnover, nightly_turnover

from qlib_shadow_runner.drift.distance import DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from qlib_shadow_runner.drift.thresholds import Thresholds

    Floats = NDArray[np.float64]

FEATURES: Final = 158
TRAIN_DAYS: Final = (500, 1000, 2000)
EVALUATED_DAYS: Final = (250, 500, 720)
HORIZONS: Final = (1, 5, 20)
STRENGTHS: Final = (0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.5)
LIVE_DAYS: Final = 20
RETRAINED: Final = 20
"""Every so many nights, or never."""
OF_A_MEASURE: Final = 0.06
OF_DECAY: Final = 0.74
"""False alarms in five years of each measure of drift, and of the test of the IC: together fewer than 1."""
STEPS: Final = 14
SHIFTS: Final = (1.0, 2.0, 3.0)
"""Planted shifts of one feature, in its deviations."""
SHIFTED: Final = 12
"""Features of a market that are shifted, one at a time."""
LATE: Final = 60
NEVER: Final = 1e9
TOLD: Final = (0.6, 0.37, 0.2)
"""The daily ICIRs for which the delay is told."""


def one_market(seed: tuple[int, ...]) -> dict[str, Floats]:
    """Return each measure's drift by night for one simulated market, and that of planted shifts."""
    generator = np.random.default_rng(seed)
    most = max(TRAIN_DAYS)
    values = market(generator, FEATURES, most + NIGHTS)
    found: dict[str, Floats] = {}
    for place in range(FEATURES):
        for days in TRAIN_DAYS:
            counts = counted(values[place, most - days :], days)
            for name, renewed in (("never", None), ("often", RETRAINED)):
                key = f"features {days} {name}"
                found[key] = np.maximum(found.get(key, 0.0), nightly(counts, days, renewed))
    for days in EVALUATED_DAYS:
        found[f"scores {days}"] = rolling(counted(values[0, most - days :], days), days)
        found[f"turnover {days}"] = nightly_turnover(daily_turnover(generator, days + NIGHTS), days, every=4)
    for shift in SHIFTS:
        found[f"shift {shift}"] = np.array([_shifted(values[place], shift) for place in range(SHIFTED)])
    return found


def _shifted(values: NDArray[np.float32], shift: float) -> float:
    """Return the drift of a window all of whose days are shifted, on a night like any other."""
    most = max(TRAIN_DAYS)
    changed = values[: most + 3 * DAYS].copy()
    changed[most + 2 * DAYS :] += shift * changed[:most].std()
    return float(nightly(counted(changed, most), most)[-1])


def in_markets(seed: int, many: int, processes: int) -> dict[str, Floats]:
    """Return the drift by night of many markets, a row each."""
    with ProcessPoolExecutor(processes) as pool:
        each = list(pool.map(one_market, [(seed, number) for number in range(many)]))
    return {key: np.array([one[key] for one in each]) for key in each[0]}


def drift_limits(nights: Mapping[str, Floats]) -> dict[str, list[tuple[int, float]]]:
    """Return the limits of each measure by the days of its reference."""
    features = [
        (days, max(limit_for(nights[f"features {days} {name}"], OF_A_MEASURE) for name in ("never", "often")))
        for days in TRAIN_DAYS
    ]
    found = {"features": features}
    for measure in ("scores", "turnover"):
        limits = [(days, limit_for(nights[f"{measure} {days}"], OF_A_MEASURE)) for days in EVALUATED_DAYS]
        found[measure] = limits
    return found


def decay_limits(seed: int, many: int, processes: int) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return the limits of the test by horizon, evaluated days and strength."""
    cells = [
        (horizon, days, strength) for horizon in HORIZONS for days in EVALUATED_DAYS for strength in STRENGTHS
    ]
    with ProcessPoolExecutor(processes) as pool:
        limits = list(pool.map(_decay_limit, [(seed, many, *cell) for cell in cells]))
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for (horizon, days, strength), limit in zip(cells, limits, strict=True):
        found.setdefault(str(horizon), {}).setdefault(str(days), []).append((strength, limit))
    return found


def _decay_limit(cell: tuple[int, int, int, int, float]) -> float:
    seed, many, horizon, days, strength = cell
    generator = np.random.default_rng((seed, horizon, days, round(100 * strength)))
    found = streams(generator, strength, many=many, promised=days, live=NIGHTS, horizon=horizon)
    low, high = 0.1, 20.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if false_alarms(found, middle, STRENGTHS[0]).mean() > OF_DECAY:
            low = middle
        else:
            high = middle
    return float(np.ceil(high * 100) / 100)


def drift_figures(nights: Mapping[str, Floats], limits: Mapping[str, Any]) -> dict[str, float]:
    """Return the false alarms in five years of each measure, and the share of planted shifts that ring."""
    found = {}
    for key, rows in nights.items():
        measure, days = key.split()[:2]
        if measure == "shift":
            found[key] = float((rows > dict(limits["features"])[max(TRAIN_DAYS)]).mean())
        else:
            found[key] = float(alarms(rows, dict(limits[measure])[int(days)]).mean())
    return found


def decay_figures(
    thresholds: Thresholds, seed: int, many: int, cells: Iterable[tuple[int, int, float]]
) -> dict[str, float]:
    """Return false alarms in five years and the median nights until a halved IC is called.

    A cell is a horizon, the evaluated days and the strength.
    """
    found = {}
    for horizon, days, strength in cells:
        generator = np.random.default_rng((seed, horizon, days, round(100 * strength)))
        stable = streams(generator, strength, many=many, promised=days, live=NIGHTS, horizon=horizon)
        limits = limits_of(thresholds, horizon, days, stable.strength)
        name = f"{horizon} {days} {strength}"
        found[f"false {name}"] = float(false_alarms(stable, limits, thresholds.weakest).mean())
        live = BEFORE_CHANGE + NIGHTS
        halved = streams(generator, strength, many=many, promised=days, live=live, horizon=horizon)
        halved = halved.after_losing(strength / 2, BEFORE_CHANGE)
        limits = limits_of(thresholds, horizon, days, halved.strength)
        late = delays(halved, limits, thresholds.weakest, BEFORE_CHANGE)
        found[f"late {name}"] = min(float(np.sort(late)[len(late) // 2]), NEVER)
    return found


def limits_of(thresholds: Thresholds, horizon: int, days: int, strengths: Floats) -> Floats:
    """Return the limit of each stream, by the strength that its evaluated days have promised."""
    known, limits = zip(*thresholds.decay[horizon][days], strict=True)
    return np.asarray(np.interp(strengths, known, limits), np.float64)

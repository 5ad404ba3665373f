"""Running sums have the bits of pandas' kernels, and can continue from any day."""

from __future__ import annotations

import numpy as np
import pandas._libs.window.aggregations as pandas_windows  # type: ignore[import-not-found]
import pytest

from qlib_shadow_runner.engine import windows
from qlib_shadow_runner.engine.layout import Layout, Layouts
from qlib_shadow_runner.engine.memory import WIDTH, Track

LENGTHS = np.array([70, 0, 1, 140, 33])
SERIES = ("plain", "steps", "flat", "wild", "spikes", "rare")


def series(kind: str, size: int, seed: int) -> np.ndarray:
    """Return values that are hard on sums: of all magnitudes, almost equal, missing, zeros of both signs."""
    random = np.random.default_rng(seed)
    values = {
        "plain": random.normal(0, 1, size),
        "steps": np.round(random.normal(0, 1, size)),
        "flat": 0.1 * (1 + 2.0**-52 * random.integers(0, 3, size)),
        "wild": random.normal(0, 1, size) * 10.0 ** random.integers(-160, 160, size),
        "spikes": random.normal(0, 1, size) * np.where(random.random(size) < 0.1, 1e9, 1),
        "rare": random.normal(5, 1, size),
    }[kind]
    values[random.random(size) < (0.7 if kind == "rare" else 0.1)] = np.nan
    values[random.random(size) < 0.05] = -0.0
    return values


def by_pandas(name: str, one: np.ndarray, other: np.ndarray, layout: Layout, days: int) -> np.ndarray:
    """Return what pandas' kernel gives."""
    bounds = layout.starts(days), layout.ends, 1
    both = one + 0 * other, other + 0 * one
    found: np.ndarray = {
        "Sum": lambda: pandas_windows.roll_sum(one, *bounds),
        "Mean": lambda: pandas_windows.roll_mean(one, *bounds),
        "Var": lambda: pandas_windows.roll_var(one, *bounds, 1),
        "Cov": lambda: pandas_windows.roll_cov(*both, *bounds, 1),
        "Corr": lambda: pandas_windows.roll_corr(*both, *bounds),
    }[name]()
    if name == "Corr":
        for side in (one, other):
            found[np.sqrt(pandas_windows.roll_var(side, *bounds, 1)) <= windows.FLAT] = np.nan
    return found


def by_us(name: str, sides: list[np.ndarray], layout: Layout, days: int, track: Track) -> np.ndarray:
    """Return what the engine's loop gives."""
    if name in {"Cov", "Corr"}:
        return windows.correlate(name, sides[0], sides[1], layout, days, track)
    if name in {"Slope", "Rsquare", "Resi"}:
        return windows.regress(name, sides[0], layout, days, track)
    return windows.roll(name, sides[0], layout, days, track)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether every bit is equal, except in NaN."""
    return bool(((one.view(np.int64) == other.view(np.int64)) | (np.isnan(one) & np.isnan(other))).all())


@pytest.mark.parametrize("name", ["Sum", "Mean", "Var", "Cov", "Corr"])
@pytest.mark.parametrize("kind", SERIES)
def test_running_sums_equal_pandas(name: str, kind: str):
    """For windows of any size, over several instruments at once."""
    layout = Layouts().of(np.zeros(len(LENGTHS), np.int64), LENGTHS)
    for seed, days in enumerate([1, 2, 3, 5, 20, 60]):
        one, other = series(kind, layout.size, seed), series("plain", layout.size, seed + 50)
        nothing = np.zeros(len(LENGTHS), np.int64)
        track = Track(nothing, nothing, np.zeros((len(LENGTHS), WIDTH)))
        with np.errstate(all="ignore"):
            found = by_us(name, [one, other], layout, days, track)
            assert same(found, by_pandas(name, one, other, layout, days)), days


@pytest.mark.parametrize("name", ["Count", "Sum", "Mean", "Std", "Corr", "Cov", "Slope", "Rsquare", "Resi"])
@pytest.mark.parametrize("kind", SERIES)
def test_running_sums_continue_from_saved_state(name: str, kind: str):
    """With the days of one window before it and the saved state; the state at the end is the same."""
    layouts = Layouts()
    nothing = np.zeros(len(LENGTHS), np.int64)
    layout = layouts.of(nothing, LENGTHS)
    for seed, days in enumerate([1, 2, 5, 20]):
        sides = [series(kind, layout.size, seed), series("steps", layout.size, seed + 50)]
        cut = np.random.default_rng(seed).integers(0, LENGTHS + 1)
        kept, end = np.zeros((2, len(LENGTHS), WIDTH))
        tail = layouts.since(layout, cut - days)
        with np.errstate(all="ignore"):
            by_us(name, sides, layout, days, Track(nothing, LENGTHS, end))
            whole = by_us(name, sides, layout, days, Track(nothing, cut, kept))
            places = np.concatenate(
                [np.arange(one, other) for one, other in zip(tail.first, tail.end, strict=True)]
            ) + np.repeat(layout.offsets[:-1], tail.counts)
            track = Track(np.where(tail.counts > 0, cut - tail.first, 0), tail.counts, kept)
            found = by_us(name, [side[places] for side in sides], tail, days, track)
        after = tail.days >= np.repeat(cut, tail.counts)
        assert after.any()
        assert same(found[after], whole[places][after]), days
        assert same(kept, end)

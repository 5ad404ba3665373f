"""A sample of `make calibrate-verdict`: reports on noise claim nothing, reports on a weak signal find it."""

from __future__ import annotations

from tests.bench.verdict.__main__ import CELLS, calibrate, find, together


def test_noise_claims_neither_signal_nor_profit():
    """For labels of 1, 5 and 20 days, and where days taken as independent would claim one in many reports."""
    counts = calibrate(reports=24, seed=3)
    noise = together(counts.values())
    assert len(counts) == len(CELLS)
    assert noise.naive >= 8
    assert noise.claims <= 4


def test_weak_signal_of_four_years_is_found():
    """A mean IC of 0.03 that spreads by 0.1 from day to day."""
    found = find(reports=3, seed=3)
    assert found.ic == found.reports

"""A dataset gains days: what changed is computed, and every bit is that of a computation from nothing."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.unit.runner.conftest import weekdays
from tests.unit.runner.fast.markets import FIELDS, SYMBOLS, Life, Market
from tests.unit.runner.fast.side_by_side import Config, by_us, named, open_dataset, require_same
from tests.unit.runner.fast.test_features_are_qlibs_to_the_last_bit import AT_ONCE, LABEL, POOL

from qlib_shadow_runner.fast.places import ENV_CACHE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from qlib_shadow_runner.fast.report import Report

ROUNDS = int(os.environ.get("QLIB_SHADOW_CHAOS_FEATURES", "25"))
WITH_A_PAST = sorted(
    {
        *POOL,
        "Max(Mean($close, 3), 5)",
        "Mean(Mean($close, 5), 4) - Ref(Std($close, 4), 3)",
        "Corr(Mean($close, 3), Sum($volume, 2), 5)",
        "Mean(Ref($close, -2), 3)",
        "Ref(Var(Ref($close, -3), 4), 2)",
        "Sum(Delta($close, -3), 4)",
        "Ref(Mean(Delta($open, 2), 5), 3)",
        "Slope(Mean($close, 2), 5) + Resi(Ref($close, -1), 4)",
        "Med(0*($open - $close), 3)",
        "Quantile(0*($open - $vwap), 5, 0.4)",
        "IdxMax(Std($close, 3), 4)",
        "Rank(Corr($close, $volume, 3), 5)",
    }
)
"""Those of Qlib, our own, and what looks back at what remembers, and ahead."""


@contextlib.contextmanager
def cache_in(folder: Path | None) -> Iterator[None]:
    """Let matrices be kept in a folder, or nowhere."""
    before = os.environ.pop(ENV_CACHE, None)
    if folder:
        os.environ[ENV_CACHE] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(ENV_CACHE, None)
        if before is not None:
            os.environ[ENV_CACHE] = before


def answer(dataset: Path, cache: Path | None, config: Config, *asked: Any) -> tuple[pd.DataFrame, Report]:
    """Ask of a dataset, with a cache or without."""
    open_dataset(dataset)
    with cache_in(cache):
        return by_us(config, *asked)


@st.composite
def listed(draw: st.DrawFn, length: int) -> Life:
    """Draw an instrument that mostly goes on to the end; one in a few is listed late, or ends."""
    first = draw(st.sampled_from([0, 0, 1, length // 3, length - 3]))
    return Life(
        first,
        draw(st.sampled_from([length - first] * 5 + [(length - first + 1) // 2])),
        draw(st.integers(0, 1000)),
        constant=draw(st.sampled_from([False, False, False, True])),
        gaps=draw(st.sampled_from([0.0, 0.0, 0.1, 0.6])),
        infinite=draw(st.sampled_from([0.0, 0.0, 0.05])),
        no_volume=draw(st.sampled_from([0.0, 0.0, 0.1, 0.6])),
        missing=draw(st.sampled_from([(), (), (), (), ("vwap",), FIELDS])),
        short=draw(st.sampled_from([(), (), (), (), (), ("vwap",)])),
        coarse=draw(st.booleans()),
    )


def spans(draw: st.DrawFn, symbols: list[str], length: int) -> dict[str, tuple[tuple[int, int], ...]]:
    """Draw when instruments belong to a universe, some of them to its end."""
    day = st.integers(0, length - 1)
    span = st.tuples(day, st.one_of(day, st.just(length - 1))).map(lambda ends: (min(ends), max(ends)))
    return draw(st.dictionaries(st.sampled_from(symbols), st.lists(span, min_size=1, max_size=2).map(tuple)))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Market, int]]:
    """Draw a market on three evenings: each has one to five days more, and perhaps another past."""
    length = draw(st.integers(8, 90))
    lives = {symbol: draw(listed(length)) for symbol in SYMBOLS[: draw(st.integers(1, len(SYMBOLS)))]}
    market = Market(length, lives, spans(draw, sorted(lives), length))
    days, history = length, [(market, length)]
    for _ in range(2):
        days = max(days - draw(st.integers(1, 5)), 2)
        if draw(st.booleans()):
            market = draw(changes(market))
        history.append((market, days))
    return history[::-1]


@st.composite
def changes(draw: st.DrawFn, market: Market) -> Market:
    """Draw another past of one instrument, and perhaps another universe."""
    symbol = draw(st.sampled_from(sorted(market.lives)))
    life = market.lives[symbol]
    other = draw(
        st.sampled_from(
            [
                life,
                replace(life, seed=life.seed + 1),
                replace(life, missing=("vwap",)),
                replace(life, first=max(0, life.first - 1)),
            ]
        )
    )
    again = spans(draw, sorted(market.lives), market.length) if draw(st.booleans()) else market.spans
    return Market(market.length, {**market.lives, symbol: other}, again)


@settings(
    max_examples=ROUNDS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.generate],
    derandomize="QLIB_SHADOW_CHAOS_FEATURES" not in os.environ,
)
@given(
    history=histories(),
    expressions=st.lists(st.sampled_from(WITH_A_PAST), min_size=AT_ONCE, max_size=AT_ONCE, unique=True),
    asked=st.sampled_from(["all", "some", ["BBB", "AAA"]]),
    first=st.floats(0, 0.6),
    spare=st.sampled_from([0, 0, 1, 3]),
)
def test_any_growth_of_any_market_gives_what_a_computation_from_nothing_gives(
    history: list[tuple[Market, int]],
    expressions: list[str],
    asked: str | list[str],
    first: float,
    spare: int,
):
    """New, ended and changed instruments, other universes, and last days before the data's last."""
    config = {"feature": named(*expressions), "label": LABEL}
    begin = int(first * history[0][1])
    with tempfile.TemporaryDirectory() as folder:
        for step, (market, days) in enumerate(history):
            calendar = weekdays(days)
            span = str(calendar[begin]), str(calendar[max(begin, days - 1 - spare)])
            dataset = market.write(Path(folder) / f"evening{step}", until=days)
            grown = outcome(dataset, Path(folder) / "cache", config, asked, *span)
            whole = outcome(dataset, None, config, asked, *span)
            if isinstance(whole, type):
                assert grown is whole
            else:
                assert not isinstance(grown, type)
                require_same(whole, grown)


def outcome(*asked: Any) -> pd.DataFrame | type[Exception]:
    """Give the frame, or what is raised instead."""
    try:
        return answer(*asked)[0]
    except Exception as refused:  # noqa: BLE001 - whatever Qlib does not take
        return type(refused)

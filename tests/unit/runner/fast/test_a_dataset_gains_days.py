"""A dataset gains days: what changed is computed, and every bit is that of a computation from nothing."""

from __future__ import annotations

import contextlib
import os
import resource
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qlib.contrib.data.loader import Alpha158DL
from tests.unit.runner.conftest import weekdays, write_bin
from tests.unit.runner.fast.chance import rounds
from tests.unit.runner.fast.markets import FIELDS, SYMBOLS, Life, Market
from tests.unit.runner.fast.side_by_side import Config, by_qlib, by_us, named, open_dataset, require_same
from tests.unit.runner.fast.test_features_are_qlibs_to_the_last_bit import AT_ONCE, LABEL, POOL

from qlib_shadow_runner.cache import store
from qlib_shadow_runner.cache.matrices import MATRIX, MatrixStore
from qlib_shadow_runner.cache.places import ENV_CACHE
from qlib_shadow_runner.engine.growth import grow, match_previous
from qlib_shadow_runner.engine.matrix import ExpressionMatrix
from qlib_shadow_runner.plugins.loader import FeatureRequest, QlibDataLoader

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from qlib_shadow_runner.plugins.feature_stats import FeatureStats

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


def answer(
    dataset: Path, cache: Path | None, config: Config, *asked: Any
) -> tuple[pd.DataFrame, FeatureStats]:
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


@rounds("QLIB_SHADOW_CHAOS_FEATURES", 10)
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


MARKET = Market(
    100,
    {
        "AAA": Life(0, 100, 1),
        "BBB": Life(10, 90, 2, gaps=0.05, no_volume=0.05),
        "CCC": Life(5, 60, 3),
        "DDD": Life(97, 3, 4),
    },
    {},
)
"""One of them has ended, and one is listed on the last evening."""
ALPHA = {"feature": Alpha158DL.get_feature_config(), "label": LABEL}
BEGIN = str(weekdays(100)[2])


def evening(folder: Path, until: int, market: Market = MARKET) -> Path:
    """Write the dataset as it is on one evening."""
    return market.write(folder / f"evening{until}", until=until)


def ask(dataset: Path, cache: Path | None, until: int) -> tuple[pd.DataFrame, FeatureStats]:
    """Ask for Alpha158 up to the last day."""
    return answer(dataset, cache, ALPHA, "all", BEGIN, str(weekdays(until)[-1]))


def test_what_grew_is_qlibs_and_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Alpha158 on three evenings: the second has two days more, the third a new symbol and another past."""
    cache = tmp_path / "cache"
    assert ask(evening(tmp_path, 95), cache, 95)[1].new_days is None
    _, second = ask(evening(tmp_path, 97), cache, 97)
    assert (second.new_days, second.instruments_recomputed, second.cache) == (2, 0, "kept for other runs")
    assert "taken from the cache, 2 new days computed; kept for other runs" in capfd.readouterr().out
    changed = replace(MARKET, lives={**MARKET.lives, "BBB": replace(MARKET.lives["BBB"], seed=9)})
    dataset = evening(tmp_path, 100, changed)
    ours, third = ask(dataset, cache, 100)
    assert (third.new_days, third.instruments_recomputed) == (3, 2)
    assert "3 new days computed, and 2 instruments wholly; kept" in capfd.readouterr().out
    open_dataset(dataset)
    require_same(by_qlib(ALPHA, "all", BEGIN, str(weekdays(100)[-1])), ours)
    assert ask(dataset, cache, 100)[1].cache == "taken from the cache"


def test_only_rows_that_can_have_changed_are_computed(tmp_path: Path):
    """The label looks two days ahead, so with one new day there are three for each that is still listed."""
    cache = tmp_path / "cache"
    ask(evening(tmp_path, 95), cache, 95)
    dataset = evening(tmp_path, 96)
    open_dataset(dataset)
    loader = QlibDataLoader(ALPHA)
    asked = FeatureRequest.of(loader, "all", BEGIN, str(weekdays(96)[-1]))
    nodes = [column.node for column in asked.columns if column.node]
    matrixes = ExpressionMatrix(asked.root, asked.universe, asked.first, asked.last)
    rows = matrixes.rows(nodes)
    [(key, about)] = MatrixStore(cache).older(asked.identity.family(), asked.last, asked.universe.symbols)
    before, stored = match_previous(about, matrixes.inputs(nodes), ahead=2), MatrixStore(cache).find(key)
    assert before is not None
    assert stored is not None
    growth = grow(stored, before, rows, asked.last)
    assert growth is not None
    assert growth.shared == len(stored.days)
    missing = growth.missing(rows)
    names = [asked.universe.symbols[number] for number in missing.instruments]
    assert sorted(zip(missing.days.tolist(), names, strict=True)) == [
        (day, name) for day in (93, 94, 95) for name in ("AAA", "BBB")
    ]


def test_a_file_that_is_behind_the_others_may_catch_up(tmp_path: Path):
    """What one field lacked yesterday is no less new than the day itself."""
    cache, late = tmp_path / "cache", evening(tmp_path, 95)
    path = late / "features" / "aaa" / "vwap.day.bin"
    path.write_bytes(path.read_bytes()[:-12])
    ask(late, cache, 95)
    dataset = evening(tmp_path, 96)
    grown, feature_stats = ask(dataset, cache, 96)
    assert (feature_stats.new_days, feature_stats.instruments_recomputed) == (1, 0)
    require_same(ask(dataset, None, 96)[0], grown)


def test_a_zero_with_a_sign_is_remembered(tmp_path: Path):
    """Long ago: its instrument is computed wholly, for a list in order may hold it still."""
    config = {"feature": named("Quantile(0*$flow, 2, 0.5)", "Med(0*$flow, 2)"), "label": LABEL}
    for until in (95, 96):
        flow = np.where(np.arange(until) == 95, np.nan, np.where(np.arange(until) == 20, -1.0, 1.0))
        write_bin(evening(tmp_path, until) / "features" / "aaa" / "flow.day.bin", flow.tolist(), 0)
    for until, anew in ((95, None), (96, 1)):
        asked = config, "all", BEGIN, str(weekdays(until)[-1])
        grown, feature_stats = answer(tmp_path / f"evening{until}", tmp_path / "cache", *asked)
        require_same(answer(tmp_path / f"evening{until}", None, *asked)[0], grown)
        assert (feature_stats.instruments_recomputed if anew else feature_stats.new_days) == anew


def test_a_damaged_matrix_of_yesterday_is_told_and_nothing_is_taken_from_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """It is removed, and today's is computed from nothing."""
    cache = tmp_path / "cache"
    ask(evening(tmp_path, 95), cache, 95)
    [old] = cache.iterdir()
    with (old / MATRIX).open("r+b") as stream:
        stream.write(b"rust")
    dataset = evening(tmp_path, 96)
    ours, feature_stats = ask(dataset, cache, 96)
    assert feature_stats.new_days is None
    assert "cannot be used" in capfd.readouterr().err
    assert not old.exists()
    require_same(ask(dataset, None, 96)[0], ours)


def test_a_matrix_of_yesterday_that_goes_meanwhile_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Whoever had listed it finds nothing; whoever had opened it reads it to its end."""
    home = tmp_path / "cache"
    ask(evening(tmp_path, 95), home, 95)
    [(key, about)] = MatrixStore(home).descriptions()
    assert [one for one, _ in MatrixStore(home).older(about["family"], 95, about["symbols"])] == [key]
    found = MatrixStore(home).find(key)
    assert found is not None
    find = MatrixStore.find
    monkeypatch.setattr(MatrixStore, "find", lambda cache, key: [cache.shrink(0), find(cache, key)][1])
    assert ask(evening(tmp_path, 96), home, 96)[1].new_days is None
    assert np.isfinite(found.matrix[0]).any()


def test_what_gives_nothing_is_neither_read_nor_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All prices have another past: that follows from what is said of the files, and a matrix is large."""
    cache = tmp_path / "cache"
    ask(evening(tmp_path, 95), cache, 95)
    [old] = MatrixStore(cache).entries()
    os.utime(old.folder, (1000, 1000))
    read: list[str] = []
    hashes = store._hashes

    def hash_and_note(folder: Path, names: list[str]) -> dict[str, str]:
        read.append(folder.name)
        return hashes(folder, names)

    monkeypatch.setattr(store, "_hashes", hash_and_note)
    lives = {symbol: replace(life, seed=life.seed + 50) for symbol, life in MARKET.lives.items()}
    assert ask(evening(tmp_path, 96, replace(MARKET, lives=lives)), cache, 96)[1].new_days is None
    assert old.folder.name not in read
    assert MatrixStore(cache).entries()[0].used == 1000


def test_on_a_full_disk_what_grew_is_given_and_not_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """A file may not be larger than a little: the matrix has its room in memory."""
    cache = tmp_path / "cache"
    ask(evening(tmp_path, 95), cache, 95)
    dataset = evening(tmp_path, 96)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        ours, feature_stats = ask(dataset, cache, 96)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (feature_stats.new_days, feature_stats.cache) == (1, "not kept")
    assert "not kept for other runs" in capfd.readouterr().err
    require_same(ask(dataset, None, 96)[0], ours)


@pytest.mark.parametrize("change", ["calendar", "columns", "first day"])
def test_what_is_not_the_same_question_or_past_is_computed_from_nothing(tmp_path: Path, change: str):
    """Another calendar, other columns, another first day."""
    cache, dataset = tmp_path / "cache", evening(tmp_path, 96)
    ask(evening(tmp_path, 95), cache, 95)
    config, begin = ALPHA, BEGIN
    if change == "calendar":
        days = dataset / "calendars" / "day.txt"
        days.write_text(days.read_text().replace(str(weekdays(96)[0]), "2019-12-31"))
    elif change == "columns":
        config = {**ALPHA, "label": (["Ref($close, -1)"], ["LABEL0"])}
    else:
        begin = str(weekdays(96)[3])
    _, feature_stats = answer(dataset, cache, config, "all", begin, str(weekdays(96)[-1]))
    assert feature_stats.new_days is None
    assert feature_stats.cache == "kept for other runs"

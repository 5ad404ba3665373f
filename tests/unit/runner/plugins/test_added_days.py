"""When a dataset gains days, only what changed is computed, and every bit is that of a whole computation."""

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
from tests.unit.runner.plugins.markets import FIELDS, SYMBOLS, Listing, Market
from tests.unit.runner.plugins.random_examples import rounds
from tests.unit.runner.plugins.side_by_side import Config, by_qlib, by_us, named, open_dataset, require_same
from tests.unit.runner.plugins.test_features_equal_qlib import AT_ONCE, LABEL, POOL

from qlib_shadow_runner.cache import content
from qlib_shadow_runner.cache.matrices import MATRIX, MatrixStore
from qlib_shadow_runner.cache.places import ENV_CACHE
from qlib_shadow_runner.engine.growth import grow, match_previous
from qlib_shadow_runner.engine.matrix import ExpressionMatrix
from qlib_shadow_runner.plugins._feature_request import FeatureRequest
from qlib_shadow_runner.plugins.loader import QlibDataLoader
from qlib_shadow_runner.storage.listed_files import first_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from qlib_shadow_runner.plugins._feature_stats import FeatureStats

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
"""Ready-made and own expressions, and nested ones that look back at running sums, or ahead."""


@contextlib.contextmanager
def cache_in(folder: Path | None) -> Iterator[None]:
    """Set the cache's folder, or none."""
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
    """Return a dataset's frame and statistics, with a cache or without."""
    open_dataset(dataset)
    with cache_in(cache):
        return by_us(config, *asked)


@st.composite
def listed(draw: st.DrawFn, length: int) -> Listing:
    """Draw an instrument that usually lasts to the end; a few are listed late, or end early."""
    first = draw(st.sampled_from([0, 0, 1, length // 3, length - 3]))
    return Listing(
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
    """Draw the listed spans of a universe, some of them up to its end."""
    day = st.integers(0, length - 1)
    span = st.tuples(day, st.one_of(day, st.just(length - 1))).map(lambda ends: (min(ends), max(ends)))
    return draw(st.dictionaries(st.sampled_from(symbols), st.lists(span, min_size=1, max_size=2).map(tuple)))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Market, int]]:
    """Draw a market on three evenings: each has one to five more days, and perhaps a changed past."""
    length = draw(st.integers(8, 90))
    listings = {symbol: draw(listed(length)) for symbol in SYMBOLS[: draw(st.integers(1, len(SYMBOLS)))]}
    market = Market(length, listings, spans(draw, sorted(listings), length))
    days, history = length, [(market, length)]
    for _ in range(2):
        days = max(days - draw(st.integers(1, 5)), 2)
        if draw(st.booleans()):
            market = draw(changes(market))
        history.append((market, days))
    return history[::-1]


@st.composite
def changes(draw: st.DrawFn, market: Market) -> Market:
    """Draw a changed past of one instrument, and perhaps another universe."""
    symbol = draw(st.sampled_from(sorted(market.listings)))
    listing = market.listings[symbol]
    other = draw(
        st.sampled_from(
            [
                listing,
                replace(listing, seed=listing.seed + 1),
                replace(listing, missing=("vwap",)),
                replace(listing, first=max(0, listing.first - 1)),
            ]
        )
    )
    again = spans(draw, sorted(market.listings), market.length) if draw(st.booleans()) else market.spans
    return Market(market.length, {**market.listings, symbol: other}, again)


@rounds("QLIB_SHADOW_CHAOS_FEATURES", 10)
@given(
    history=histories(),
    expressions=st.lists(st.sampled_from(WITH_A_PAST), min_size=AT_ONCE, max_size=AT_ONCE, unique=True),
    asked=st.sampled_from(["all", "some", ["BBB", "AAA"]]),
    first=st.floats(0, 0.6),
    spare=st.sampled_from([0, 0, 1, 3]),
)
def test_random_growth_equals_whole_computation(
    history: list[tuple[Market, int]],
    expressions: list[str],
    asked: str | list[str],
    first: float,
    spare: int,
):
    """With new, ended and changed instruments, other universes, and requests that end before the data."""
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
    """Return the frame, or the type of the error."""
    try:
        return answer(*asked)[0]
    except Exception as refused:  # noqa: BLE001 - whatever Qlib does not take
        return type(refused)


MARKET = Market(
    100,
    {
        "AAA": Listing(0, 100, 1),
        "BBB": Listing(10, 90, 2, gaps=0.05, no_volume=0.05),
        "CCC": Listing(5, 60, 3),
        "DDD": Listing(97, 3, 4),
    },
    {},
)
"""One instrument has ended, and one is listed on the last evening."""
ALPHA = {"feature": Alpha158DL.get_feature_config(), "label": LABEL}
BEGIN = str(weekdays(100)[2])


def evening(folder: Path, until: int, market: Market = MARKET) -> Path:
    """Write the dataset as it is on one evening."""
    return market.write(folder / f"evening{until}", until=until)


def ask(dataset: Path, cache: Path | None, until: int) -> tuple[pd.DataFrame, FeatureStats]:
    """Return Alpha158 up to the last day."""
    return answer(dataset, cache, ALPHA, "all", BEGIN, str(weekdays(until)[-1]))


def test_added_days_equal_qlib_and_are_reported(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Alpha158 on three evenings: the second has two more days, the third a new and a changed instrument."""
    cache = tmp_path / "cache"
    assert ask(evening(tmp_path, 95), cache, 95)[1].new_days is None
    _, second = ask(evening(tmp_path, 97), cache, 97)
    assert (second.new_days, second.instruments_recomputed, second.cache) == (2, 0, "kept for other runs")
    assert "taken from the cache, 2 new days computed; kept for other runs" in capfd.readouterr().out
    changed = replace(MARKET, listings={**MARKET.listings, "BBB": replace(MARKET.listings["BBB"], seed=9)})
    dataset = evening(tmp_path, 100, changed)
    ours, third = ask(dataset, cache, 100)
    assert (third.new_days, third.instruments_recomputed) == (3, 2)
    assert "3 new days computed, and 2 instruments wholly; kept" in capfd.readouterr().out
    open_dataset(dataset)
    require_same(by_qlib(ALPHA, "all", BEGIN, str(weekdays(100)[-1])), ours)
    assert ask(dataset, cache, 100)[1].cache == "taken from the cache"


def test_only_changed_rows_are_computed(tmp_path: Path):
    """The label looks two days ahead, so one new day means three rows for each listed instrument."""
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


def test_file_with_fewer_days_can_catch_up(tmp_path: Path):
    """The missing days of one field count as new days."""
    cache, late = tmp_path / "cache", evening(tmp_path, 95)
    path = late / "features" / "aaa" / "vwap.day.bin"
    path.write_bytes(path.read_bytes()[:-12])
    ask(late, cache, 95)
    dataset = evening(tmp_path, 96)
    grown, stats = ask(dataset, cache, 96)
    assert (stats.new_days, stats.instruments_recomputed) == (1, 0)
    require_same(ask(dataset, None, 96)[0], grown)


def test_negative_zero_recomputes_the_instrument(tmp_path: Path):
    """Its instrument is computed wholly, because a sorted window may still hold the zero."""
    config = {"feature": named("Quantile(0*$flow, 2, 0.5)", "Med(0*$flow, 2)"), "label": LABEL}
    for until in (95, 96):
        flow = np.where(np.arange(until) == 95, np.nan, np.where(np.arange(until) == 20, -1.0, 1.0))
        write_bin(evening(tmp_path, until) / "features" / "aaa" / "flow.day.bin", flow.tolist(), 0)
    for until, recomputed in ((95, None), (96, 1)):
        asked = config, "all", BEGIN, str(weekdays(until)[-1])
        grown, stats = answer(tmp_path / f"evening{until}", tmp_path / "cache", *asked)
        require_same(answer(tmp_path / f"evening{until}", None, *asked)[0], grown)
        assert (stats.instruments_recomputed if recomputed else stats.new_days) == recomputed


def test_damaged_earlier_matrix_is_reported_and_not_used(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """It is removed, and the new matrix is computed from all days."""
    cache = tmp_path / "cache"
    ask(evening(tmp_path, 95), cache, 95)
    [old] = cache.iterdir()
    with (old / MATRIX).open("r+b") as stream:
        stream.write(b"rust")
    dataset = evening(tmp_path, 96)
    ours, stats = ask(dataset, cache, 96)
    assert stats.new_days is None
    assert "cannot be used" in capfd.readouterr().err
    assert not old.exists()
    require_same(ask(dataset, None, 96)[0], ours)


def test_earlier_matrix_may_be_removed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A listed entry is missing when it is read; an opened one can be read to its end."""
    home = tmp_path / "cache"
    ask(evening(tmp_path, 95), home, 95)
    [(key, about)] = MatrixStore(home).descriptions()
    assert [one for one, _ in MatrixStore(home).older(about["family"], 95, about["symbols"])] == [key]
    found = MatrixStore(home).find(key)
    assert found is not None
    find = MatrixStore.find
    monkeypatch.setattr(MatrixStore, "find", lambda cache, *key: [cache.shrink(0), find(cache, *key)][1])
    assert ask(evening(tmp_path, 96), home, 96)[1].new_days is None
    assert np.isfinite(found.matrix(1)[0]).any()


def test_useless_earlier_matrix_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All prices have another past: the description shows it, and the large files are not read."""
    cache = tmp_path / "cache"
    ask(evening(tmp_path, 95), cache, 95)
    [old] = MatrixStore(cache).entries()
    os.utime(old.folder, (1000, 1000))
    read: list[str] = []

    def hash_and_note(folder: Path, *arguments: Any) -> str | None:
        read.append(folder.name)
        return first_fault(folder, *arguments)

    monkeypatch.setattr(content, "first_fault", hash_and_note)
    listings = {
        symbol: replace(listing, seed=listing.seed + 50) for symbol, listing in MARKET.listings.items()
    }
    assert ask(evening(tmp_path, 96, replace(MARKET, listings=listings)), cache, 96)[1].new_days is None
    assert old.folder.name not in read
    assert MatrixStore(cache).entries()[0].used == 1000


def test_full_disk_keeps_no_grown_matrix(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """With a limit on the size of files, the matrix is computed in memory."""
    cache = tmp_path / "cache"
    ask(evening(tmp_path, 95), cache, 95)
    dataset = evening(tmp_path, 96)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        ours, stats = ask(dataset, cache, 96)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (stats.new_days, stats.cache) == (1, "not kept")
    assert "not kept for other runs" in capfd.readouterr().err
    require_same(ask(dataset, None, 96)[0], ours)


@pytest.mark.parametrize("change", ["calendar", "columns", "first day"])
def test_other_request_or_calendar_is_computed_wholly(tmp_path: Path, change: str):
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
    _, stats = answer(dataset, cache, config, "all", begin, str(weekdays(96)[-1]))
    assert stats.new_days is None
    assert stats.cache == "kept for other runs"

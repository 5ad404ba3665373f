"""A run with a kept model reads only its last days, and each bit is that of a computation without a cache."""

from __future__ import annotations

import os
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qlib.contrib.data.loader import Alpha158DL
from qlib.data.dataset import DatasetH
from qlib.utils import lazy_sort_index
from tests.unit.runner.conftest import weekdays
from tests.unit.runner.plugins.markets import Listing, Market
from tests.unit.runner.plugins.random_examples import rounds
from tests.unit.runner.plugins.side_by_side import named, open_dataset, require_same
from tests.unit.runner.plugins.test_added_days import WITH_A_PAST, cache_in, histories
from tests.unit.runner.plugins.test_features_equal_qlib import AT_ONCE, LABEL

from qlib_shadow_runner.cache.blocks import ROWS, hash_blocks, require_intact
from qlib_shadow_runner.cache.content import CONTENT
from qlib_shadow_runner.cache.matrices import BLOCKS, MATRIX, SOURCE, MatrixStore
from qlib_shadow_runner.cache.places import ENV_ROWS_FROM
from qlib_shadow_runner.plugins.handlers import Alpha158
from qlib_shadow_runner.plugins.loader import QlibDataLoader
from qlib_shadow_runner.storage.removal import remove

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.runner.plugins.side_by_side import Config

    from qlib_shadow_runner.plugins._feature_stats import FeatureStats

ALPHA = {"feature": Alpha158DL.get_feature_config(), "label": LABEL}
DAYS = weekdays(130)
ANCHOR = str(DAYS[20])
MARKET = Market(
    130,
    {
        "AAA": Listing(0, 130, 1),
        "BBB": Listing(10, 120, 2, gaps=0.05, no_volume=0.05),
        "CCC": Listing(5, 113, 3),
        "DDD": Listing(118, 12, 4),
    },
    {},
)
"""One instrument ends two days before the third evening, and one is listed on the second."""
RESTATED = replace(MARKET, listings={**MARKET.listings, "BBB": Listing(10, 120, 9)})
FIRST, SECOND, THIRD = 117, 119, 120


def read(
    home: Path, until: int, cache: Path | None, since: int | None, market: Market = MARKET
) -> tuple[pd.DataFrame, FeatureStats]:
    """Return Alpha158 of an evening from a day on, with running sums from the anchor on."""
    dataset = home / f"evening{until}-{hash(str(market)) & 0xFFFF}"
    if not dataset.exists():
        market.write(dataset, until=until)
    open_dataset(dataset)
    loader = QlibDataLoader(ALPHA)
    loader.rows_from = None if since is None else pd.Timestamp(str(DAYS[since]))
    with cache_in(cache):
        return loader.load("all", ANCHOR, str(DAYS[until - 1])), loader.feature_stats


def whole(home: Path, until: int, since: int, market: Market = MARKET) -> pd.DataFrame:
    """Return the same days of a computation of all days without a cache."""
    frame = read(home, until, None, None, market)[0]
    return frame[frame.index.get_level_values("datetime") >= pd.Timestamp(str(DAYS[since]))]


def days_of(dataset: Path, cache: Path | None, since: str | None, config: Config, *asked: Any) -> Any:
    """Return the frame of a request from a day on, or the type of the error."""
    open_dataset(dataset)
    loader = QlibDataLoader(config)
    loader.rows_from = pd.Timestamp(since) if since and cache else None
    try:
        with cache_in(cache), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="qlib")
            frame = lazy_sort_index(loader.load(*asked))
    except Exception as refused:  # noqa: BLE001 - whatever Qlib does not take
        return type(refused)
    return frame if since is None else frame[frame.index.get_level_values("datetime") >= pd.Timestamp(since)]


@rounds("QLIB_SHADOW_CHAOS_FEATURES", 6)
@given(
    history=histories(),
    expressions=st.lists(st.sampled_from(WITH_A_PAST), min_size=AT_ONCE, max_size=AT_ONCE, unique=True),
    asked=st.sampled_from(["all", "some"]),
    first=st.floats(0, 0.6),
    since=st.floats(0, 1),
)
def test_random_nights_equal_whole_computation(
    history: list[tuple[Market, int]], expressions: list[str], asked: str, first: float, since: float
):
    """A training, then nights with new, ended and changed instruments and other universes."""
    config = {"feature": named(*expressions), "label": LABEL}
    begin = int(first * history[0][1])
    with tempfile.TemporaryDirectory() as folder:
        for step, (market, days) in enumerate(history):
            dataset = market.write(Path(folder) / f"evening{step}", until=days)
            last = max(begin, days - 1)
            day = str(DAYS[begin + int(since * (last - begin))]) if step else None
            span = str(DAYS[begin]), str(DAYS[last])
            ours = days_of(dataset, Path(folder) / "cache", day, config, asked, *span)
            theirs = days_of(dataset, None, day, config, asked, *span)
            if isinstance(theirs, type):
                assert ours is theirs
            else:
                require_same(theirs, ours)


def entries(cache: Path) -> dict[bool, list[Path]]:
    """Return the entries by whether they have a base."""
    found: dict[bool, list[Path]] = {False: [], True: []}
    for path in cache.iterdir():
        found[(path / SOURCE).exists()].append(path)
    return found


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """Return a folder with a cache in which a run has trained and one night has kept its model."""
    read(tmp_path, FIRST, tmp_path / "cache", None)
    read(tmp_path, SECOND, tmp_path / "cache", 80)
    return tmp_path


def test_nights_keep_only_what_is_new_and_read_the_rest_from_the_training(nights: Path):
    """With an instrument that is new and one that has ended; a night takes the place of the one before."""
    cache = nights / "cache"
    [base], [before] = entries(cache)[False], entries(cache)[True]
    frame, stats = read(nights, THIRD, cache, 81)
    require_same(whole(nights, THIRD, 81), frame)
    assert (stats.new_days, stats.instruments_recomputed, stats.cache) == (1, 0, "kept for other runs")
    [after] = entries(cache)[True]
    assert after != before
    assert entries(cache)[False] == [base]
    size = {path: (path / MATRIX).stat().st_size for path in (base, after)}
    assert size[after] < size[base] / 10
    again, stats = read(nights, THIRD, cache, 81)
    assert stats.cache == "taken from the cache"
    require_same(whole(nights, THIRD, 81), again)


def test_a_night_of_the_trained_data_reads_its_matrix(nights: Path):
    """Nothing is kept twice."""
    before = entries(nights / "cache")
    frame, stats = read(nights, FIRST, nights / "cache", 80)
    require_same(whole(nights, FIRST, 80), frame)
    assert stats.cache == "taken from the cache"
    assert entries(nights / "cache") == before


def test_a_restated_instrument_is_computed_from_the_anchor(nights: Path):
    """And all its rows are kept, those of the others are not."""
    frame, stats = read(nights, THIRD, nights / "cache", 80, RESTATED)
    require_same(whole(nights, THIRD, 80, RESTATED), frame)
    assert (stats.new_days, stats.instruments_recomputed) == (1, 1)
    frame, stats = read(nights, THIRD + 1, nights / "cache", 81, RESTATED)
    require_same(whole(nights, THIRD + 1, 81, RESTATED), frame)
    assert (stats.new_days, stats.instruments_recomputed) == (1, 0)


def test_a_training_never_begins_with_the_last_days_alone(nights: Path):
    """It continues the whole matrix."""
    frame, stats = read(nights, THIRD, nights / "cache", None)
    require_same(read(nights, THIRD, None, None)[0], frame)
    assert stats.new_days == THIRD - FIRST


def remove_folder(path: Path) -> None:
    """Remove an entry as another run does that needs its space."""
    remove(path)


def overwrite(path: Path, name: str, at: int) -> None:
    """Damage four bytes of a file."""
    with (path / name).open("r+b") as stream:
        stream.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        stream.write(b"rust")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda base, _: remove_folder(base), ""),
        (lambda base, _: overwrite(base, MATRIX, -4), "a part of its matrix is not what was written"),
        (lambda base, _: overwrite(base, BLOCKS, 0), "is not what was written (its sha256 differs)"),
        (lambda base, _: (base / MATRIX).write_bytes(b""), "its matrix has another size"),
        (lambda _, night: overwrite(night, MATRIX, 0), "a part of its matrix is not what was written"),
        (lambda _, night: overwrite(night, SOURCE, 0), "is not what was written (its sha256 differs)"),
    ],
    ids=[
        "base removed",
        "base damaged",
        "base's hashes damaged",
        "base cut",
        "night damaged",
        "sources damaged",
    ],
)
def test_what_is_damaged_or_gone_is_computed_again(
    nights: Path, damage: Callable[[Path, Path], None], said: str, capfd: pytest.CaptureFixture[str]
):
    """From the other entry or from nothing; the damage is reported, and no value differs."""
    [base], [night] = entries(nights / "cache")[False], entries(nights / "cache")[True]
    damage(base, night)
    frame, stats = read(nights, THIRD, nights / "cache", 81)
    require_same(whole(nights, THIRD, 81), frame)
    assert stats.cache == "kept for other runs"
    assert said in capfd.readouterr().err
    again, stats = read(nights, THIRD, nights / "cache", 81)
    assert stats.cache == "taken from the cache"
    require_same(frame, again)


def test_an_entry_whose_base_is_gone_is_no_entry(nights: Path):
    """It does not count, and it is removed when space is looked for."""
    store = MatrixStore(nights / "cache")
    [base], [night] = entries(store.home)[False], entries(store.home)[True]
    remove_folder(base)
    assert store.entries() == []
    assert [entry.folder for entry in store.shrink()] == [night]
    assert list(store.home.iterdir()) == []


def test_a_base_of_other_content_is_none(nights: Path, capfd: pytest.CaptureFixture[str]):
    """An entry names the description of its base, not only its key."""
    [base], [night] = entries(nights / "cache")[False], entries(nights / "cache")[True]
    remove_folder(base)
    other = nights / "other"
    read(nights, FIRST, other, None, RESTATED)
    [made] = other.iterdir()
    made.rename(base)
    assert MatrixStore(nights / "cache").find(night.name, 80) is None
    assert "its base is gone" in capfd.readouterr().err
    assert (base / CONTENT).is_file()


def test_only_the_blocks_that_are_read_are_verified():
    """A row's block and all after it."""
    matrix = np.arange(2 * (ROWS + 5), dtype=np.float32).reshape(2, -1)
    hashes = hash_blocks(matrix)
    matrix[1, 3] = -1
    require_intact(matrix, hashes, ROWS)
    with pytest.raises(ValueError, match="a part of its matrix is not what was written"):
        require_intact(matrix, hashes, ROWS - 1)
    with pytest.raises(ValueError, match="it has the hashes of 3 blocks, not of 4"):
        require_intact(matrix, hashes[:96], 0)


def test_a_handler_reads_earlier_days_if_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Test alone is read with a kept model; a request for train gets train."""
    open_dataset(MARKET.write(tmp_path / "us", until=THIRD))
    segments = {
        "train": (str(DAYS[20]), str(DAYS[60])),
        "test": (str(DAYS[80]), str(DAYS[THIRD - 1])),
    }

    def dataset() -> Any:
        handler = Alpha158("all", ANCHOR, str(DAYS[THIRD - 1]))
        return DatasetH(handler, segments)

    wanted = {name: dataset().prepare(name) for name in segments}
    labels = dataset().prepare("test", col_set="label", data_key="raw")
    monkeypatch.setenv(ENV_ROWS_FROM, segments["test"][0])
    ours = dataset()
    capfd.readouterr()
    require_same(wanted["test"], ours.prepare("test"))
    require_same(labels, ours.prepare("test", col_set="label", data_key="raw"))
    assert f" {len(wanted['test'])} rows in" in capfd.readouterr().out
    require_same(wanted["train"], ours.prepare("train"))
    require_same(wanted["test"], ours.prepare("test"))
    assert capfd.readouterr().out.count("features: ") == 1

"""The source `prices`: its fields, its files on the volume, and when a dataset is built again."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.price_files import Adjust, BadRows, Duplicates, PricesSpec
from qlib_shadow_runner.dataset.ensure import ensure, find_fresh
from qlib_shadow_runner.dataset.prices.grid import make_grid
from qlib_shadow_runner.dataset.sources.prices import Prices
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.storage.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd

    from qlib_shadow_runner.dataset.asked import DatasetSpec
    from qlib_shadow_runner.dataset.sources import Source

WHERE = "spec.dataset.source.prices"


def prices(raw: Mapping[str, object]) -> Source:
    """Read `spec.dataset.source.prices`."""
    return parse_spec({"dataset": {"source": {"prices": raw}}}).dataset.source


def test_every_field_is_read():
    """A relative path is relative to the volume."""
    source = prices(
        {
            "path": "inbox/us.parquet",
            "columns": {"close": "px", "extra": ["pe"], "universes": ["sp500"]},
            "timezone": "Asia/Tokyo",
            "adjust": "adj_close",
            "benchmarks": ["SPY"],
            "universe": "mine",
            "duplicates": "last",
            "badRows": "drop",
        }
    )
    assert source == Prices(
        path="/data/inbox/us.parquet",
        columns={"close": "px", "extra": ("pe",), "universes": ("sp500",)},
        timezone="Asia/Tokyo",
        adjust=Adjust.ADJ_CLOSE,
        benchmarks=("SPY",),
        universe="mine",
        duplicates=Duplicates.LAST,
        bad_rows=BadRows.DROP,
    )


def test_only_the_path_is_required():
    """A path is enough."""
    assert prices({"path": "/data/inbox"}) == Prices("/data/inbox")


def test_one_benchmark_is_a_list_of_one():
    """However it is written."""
    assert PricesSpec("inbox", benchmark="SPY").indices == PricesSpec("inbox", benchmarks=("SPY",)).indices


FAULTS: Mapping[str, tuple[Mapping[str, object], str]] = {
    "no path": ({}, f"{WHERE} lacks path"),
    "a path upwards": ({"path": "inbox/../../etc"}, f'{WHERE}.path "inbox/../../etc" must lie on the volume'),
    "a path elsewhere": ({"path": "/etc/passwd"}, f'{WHERE}.path "/etc/passwd" must lie on the volume'),
    "the whole volume": ({"path": "."}, f'{WHERE}.path "." must lie on the volume'),
    "a misspelt field": (
        {"path": "a", "colums": {}},
        f'{WHERE} has no field "colums"; did you mean "columns"?',
    ),
    "a misspelt role": (
        {"path": "a", "columns": {"clos": "x"}},
        'has no field "clos"; did you mean "close"?',
    ),
    "one column twice": (
        {"path": "a", "columns": {"open": "x", "close": "x"}},
        "gives one column two meanings",
    ),
    "a misspelt choice": (
        {"path": "a", "adjust": "adj-close"},
        f"{WHERE}.adjust must be one of auto, factor, adj_close",
    ),
    "an unknown time zone": (
        {"path": "a", "timezone": "Asia/Tokio"},
        f'{WHERE}.timezone "Asia/Tokio" is not a known time zone; write it as the tz database does',
    ),
    "a time zone by its offset": ({"path": "a", "timezone": "+09:00"}, "must be the name of a time zone"),
    "a field that no expression can name": (
        {"path": "a", "columns": {"extra": ["P/E"]}},
        f'{WHERE}.columns.extra[0] "P/E" must be made of lower-case letters, digits and _',
    ),
    "a field that bars have": (
        {"path": "a", "columns": {"extra": ["change"]}},
        "must not be one of open, high, low, close, volume, vwap, factor, change",
    ),
    "a field twice": ({"path": "a", "columns": {"extra": ["pe", "pe"]}}, "has a name twice in extra or in"),
    "a universe of two origins": (
        {"path": "a", "columns": {"universes": ["tradable"]}},
        "gives one name to universe and to one of columns.universes; write another universe",
    ),
    "a universe of all": (
        {"path": "a", "universe": "all"},
        "must not be all, which holds the benchmarks",
    ),
    "a universe in capitals": ({"path": "a", "universe": "SP500"}, "must be made of lower-case letters"),
    "benchmarks as a word": (
        {"path": "a", "benchmarks": "SPY"},
        "must be a list of at most 100 symbols, for example [SPY]",
    ),
    "both benchmarks": (
        {"path": "a", "benchmark": "A", "benchmarks": ["B"]},
        "takes benchmark or benchmarks, not both; remove one",
    ),
}


@pytest.mark.parametrize(("raw", "sentence"), FAULTS.values(), ids=FAULTS)
def test_invalid_prices_spec_is_refused(raw: Mapping[str, object], sentence: str):
    """Each fault names its field."""
    with pytest.raises(StageError) as caught:
        prices(raw)
    assert sentence in caught.value.message
    assert caught.value.reason is Reason.INVALID_SPEC


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """Return a volume with an empty inbox."""
    (tmp_path / "data" / "inbox").mkdir(parents=True)
    return Volume(tmp_path / "data")


@pytest.fixture
def inbox(volume: Volume) -> Path:
    """Return the inbox."""
    return volume.mount / "inbox"


def asked(volume: Volume, **source: object) -> DatasetSpec:
    """Return the spec of a dataset made of the inbox."""
    return parse_spec({"dataset": {"source": {"prices": {"path": "inbox", **source}}}}).dataset.at(volume)


def made(volume: Volume, **source: object) -> tuple[str, bool]:
    """Ask for the dataset; give its fingerprint, and whether it was there already."""
    spec = asked(volume, **source)
    canonical = volume.locate(spec.path)
    fresh = find_fresh(canonical, spec)
    found = fresh or ensure(canonical, asked(volume, **source))
    return found.manifest.fingerprint, fresh is not None


def test_unchanged_files_are_not_read(volume: Volume, inbox: Path, bars: Callable[..., pd.DataFrame]):
    """The second run finds what the first made, by names, sizes and times."""
    bars().to_parquet(inbox / "us.parquet")
    fingerprint, fresh = made(volume)
    assert not fresh
    assert made(volume) == (fingerprint, True)


def test_touched_files_are_hashed_and_not_built_again(
    volume: Volume, inbox: Path, bars: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
):
    """A copy of the same content under the same name has the same identity."""
    bars().to_parquet(inbox / "us.parquet")
    before = made(volume)[0]
    bars().to_parquet(inbox / "us.parquet")
    monkeypatch.setattr(Prices, "build", lambda *_: pytest.fail("there is nothing to build"))
    assert made(volume) == (before, False)
    assert made(volume) == (before, True)


def test_changed_content_is_a_new_version_and_the_old_one_stays(
    volume: Volume, inbox: Path, bars: Callable[..., pd.DataFrame]
):
    """Also where size and modification time are the same as before."""
    bars().to_parquet(inbox / "us.parquet")
    before, stat = made(volume)[0], (inbox / "us.parquet").stat()
    bars(close=5.0).to_parquet(inbox / "us.parquet")
    os.utime(inbox / "us.parquet", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = made(volume)[0]
    assert after != before
    assert len(list(volume.locate("/data/qlib/qlib_data").glob("us_data_1d@*[!n]"))) == 2


def test_other_options_change_the_identity(volume: Volume, inbox: Path, bars: Callable[..., pd.DataFrame]):
    """Options belong to the identity."""
    bars().to_parquet(inbox / "us.parquet")
    assert made(volume)[0] != made(volume, adjust="none")[0]
    assert asked(volume).source.identity != asked(volume, timezone="Asia/Tokyo").source.identity


def test_file_that_changes_while_it_is_read_is_refused(
    volume: Volume, inbox: Path, bars: Callable[..., pd.DataFrame], monkeypatch: pytest.MonkeyPatch
):
    """Parts of two files are not valid prices."""
    bars().to_parquet(inbox / "us.parquet")

    def disturbed(*arguments: object) -> object:
        bars(close=7.0).to_parquet(inbox / "us.parquet")
        return make_grid(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("qlib_shadow_runner.dataset.prices.ingest.make_grid", disturbed)
    with pytest.raises(StageError, match="/data/inbox changed while it was read"):
        made(volume)


def test_missing_price_files_are_reported(volume: Volume):
    """The place is named as the cluster sees it."""
    with pytest.raises(StageError, match=r"there is nothing at /data/inbox/us\.csv on the volume") as caught:
        made(volume, path="inbox/us.csv")
    assert caught.value.reason is Reason.DATASET_MISSING


def test_folder_without_price_files_lists_its_content(volume: Volume, inbox: Path):
    """What is there instead is shown."""
    (inbox / "us.xlsx").touch()
    (inbox / ".hidden.csv").touch()
    with pytest.raises(StageError, match=r"holds no file that ends in .*; it holds us\.xlsx"):
        made(volume)


def test_file_of_another_kind_is_refused(volume: Volume, inbox: Path):
    """Spreadsheets are not read."""
    (inbox / "us.xlsx").touch()
    with pytest.raises(StageError, match=r"its name must end in \.parquet, \.pq, \.csv, \.csv\.gz"):
        made(volume, path="inbox/us.xlsx")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_link_out_of_the_volume(what: str, volume: Volume, inbox: Path, tmp_path: Path):
    """A link cannot reach files outside the volume."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "us.csv").touch()
    (inbox / "link").symlink_to(outside)
    (inbox / "us.csv").symlink_to(outside / "us.csv")
    with pytest.raises(StageError, match="outside the volume"):
        made(volume, path="inbox/link" if what == "folder" else "inbox")


def test_stamp_needs_no_numpy():
    """The spec and the stamp are read by a process that must stay small."""
    code = "import sys, qlib_shadow_runner.dataset.ensure; print({'numpy', 'pyarrow'} & sys.modules.keys())"
    reported = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert reported.stdout.strip() == "set()"

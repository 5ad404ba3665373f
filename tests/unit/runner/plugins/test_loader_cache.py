"""The loader finds its matrix in the cache for the same request and data, and computes it otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.plugins.markets import Listing, Market
from tests.unit.runner.plugins.side_by_side import by_qlib, by_us, named, open_dataset, require_same

from qlib_shadow_runner.cache.key import MatrixIdentity
from qlib_shadow_runner.cache.places import ENV_CACHE

if TYPE_CHECKING:
    from pathlib import Path

MARKET = Market(30, {"AAA": Listing(0, 30, 1), "BBB": Listing(2, 20, 2)}, {})
CONFIG = {"feature": named("Mean($close, 3)", "EMA($close, 3)"), "label": named("Ref($close, -1)")}
ASKED = CONFIG, "all", "2020-01-01", "2020-02-01"


def test_frame_is_read_only_whether_computed_or_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Both are views of the file that others read."""
    monkeypatch.setenv(ENV_CACHE, str(tmp_path / "cache"))
    open_dataset(MARKET.write(tmp_path / "us"))
    (made, first), (found, second) = by_us(*ASKED), by_us(*ASKED)
    assert (first.cache, second.cache) == ("kept for other runs", "taken from the cache")
    before = found.to_numpy().copy()
    for frame in (made, found):
        with pytest.raises(ValueError, match="read-only"):
            frame.iloc[0, 0] = 7.0
    assert found.to_numpy().tobytes() == before.tobytes() == made.to_numpy().tobytes()
    require_same(by_qlib(*ASKED), made)


def test_cached_column_of_qlib_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Qlib computed it, in this run or in the run that kept it."""
    monkeypatch.setenv(ENV_CACHE, str(tmp_path / "cache"))
    open_dataset(MARKET.write(tmp_path / "us"))
    results = [by_us(*ASKED)[1] for _ in range(2)]
    assert [one.columns_by_qlib for one in results] == [["C1"], ["C1"]]
    assert "1 columns by Qlib's own engine (C1)" in results[1].sentence()


def test_matrix_of_changed_dataset_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Its key is that of the earlier data, for which it would be wrong."""
    monkeypatch.setenv(ENV_CACHE, str(tmp_path / "cache"))
    root = MARKET.write(tmp_path / "us")
    open_dataset(root)
    path = root / "features" / "aaa" / "close.day.bin"
    before = path.read_bytes()
    key_of = MatrixIdentity.key

    def key_and_write(identity: MatrixIdentity) -> str:
        key = key_of(identity)
        path.write_bytes(before[:4] + before[8:12] + before[8:])
        return key

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(MatrixIdentity, "key", key_and_write)
        _, stats = by_us(*ASKED)
    assert stats.cache == "not kept"
    assert "not kept for other runs: the dataset was changed meanwhile" in capfd.readouterr().err
    path.write_bytes(before)
    open_dataset(root)
    ours, stats = by_us(*ASKED)
    assert stats.cache == "kept for other runs"
    require_same(by_qlib(*ASKED), ours)


LOAD = """
import sys, qlib
from qlib_shadow_runner.plugins.loader import QlibDataLoader
if __name__ == "__main__":
    qlib.init(provider_uri=sys.argv[1], region="us", kernels=1)
    config = {"feature": (["Slope($close, 3)"], ["A"]), "label": (["Ref($close, -1)"], ["L"])}
    frame = QlibDataLoader(config).load("all", "2020-01-01", "2020-03-01")
    print(frame.shape, "numba" in sys.modules)
"""


def test_cached_features_need_no_compiler(make_dataset: object, tmp_path: Path):
    """Not even the compiler is imported; and the dataset may be read-only."""
    root = make_dataset(30).folder  # type: ignore[operator]
    environ = {**os.environ, ENV_CACHE: str(tmp_path / "cache")}
    outputs = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", LOAD, str(root)],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert "kept for other runs" in outputs[0]
    assert "(90, 2) True" in outputs[0]
    assert "taken from the cache" in outputs[1]
    assert "(90, 2) False" in outputs[1]

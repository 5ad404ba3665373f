"""The tables that the pages keep in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import Mock

from tests.unit.runner.catalog.volumes import SmallVolume

from qlib_shadow_runner.catalog import followup
from qlib_shadow_runner.catalog.update import update
from qlib_shadow_runner.ui.run_table import FollowupTable

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_followup_is_read_again_only_when_its_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not for every page of every run, which needs only a few rows."""
    small = SmallVolume(tmp_path / "data")
    small.add_dataset(64)
    table, read = FollowupTable(small.volume), Mock(wraps=followup.read_live)
    monkeypatch.setattr(followup, "read_live", read)
    assert table.rows() == table.of("nightly-1") == []
    small.add_run("nightly-1", 60)
    small.add_run("nightly-2", 61)
    expected = [row for row in update(small.volume).followup if row["live"]]
    assert [table.rows() for _ in range(3)] == [expected] * 3
    assert [row["run_id"] for row in table.of("nightly-1")] == ["nightly-1"]
    assert table.of("nightly-1") == [row for row in expected if row["run_id"] == "nightly-1"]
    assert read.call_count == 2

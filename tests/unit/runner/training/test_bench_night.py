"""The benchmark of a night measures what it says, and finds Qlib's own predictions in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.night.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_night_predicts_what_qlib_predicts_with_its_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """From features that begin on the trainer's first day, on a night whose window begins a day later."""
    small = ["--symbols", "10", "--days", "340", "--boosting", "4", "--place", str(tmp_path)]
    assert main(small) == 0
    told = capsys.readouterr().out
    assert "the predictions are Qlib's, bit for bit" in told
    assert told.count("| 1/") == 10
    assert list(tmp_path.iterdir()) == []

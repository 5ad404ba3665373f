"""What became of the features is read from the last attempt that computed or found any."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.training.checkpoints import Checkpoints
from qlib_shadow_runner.training.trained import features_of_last_attempt, report_path

if TYPE_CHECKING:
    from pathlib import Path


def write_report(home: Path, attempt: int, text: str = '{"engine": "fast"}') -> None:
    """Write what an attempt would."""
    report_path(home, attempt).write_text(text)


def test_without_a_report_there_are_no_features(tmp_path: Path):
    """As with Qlib's own engine."""
    assert features_of_last_attempt(tmp_path) is None


def test_the_report_of_the_last_attempt_is_returned(tmp_path: Path):
    """By number, not by spelling: the tenth comes after the ninth."""
    for attempt in (1, 9, 10):
        write_report(tmp_path, attempt, json.dumps({"rows": attempt}))
    assert features_of_last_attempt(tmp_path) == {"rows": 10, "attempt": 10}


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_an_unreadable_report_is_skipped(tmp_path: Path, text: str):
    """A report is not synced, so a power cut may damage it."""
    write_report(tmp_path, 1)
    write_report(tmp_path, 2, text)
    assert features_of_last_attempt(tmp_path) == {"engine": "fast", "attempt": 1}


def test_reports_of_another_computation_are_not_found(tmp_path: Path):
    """A spec or a version that changed between two attempts asks for other features."""
    write_report(Checkpoints.of(tmp_path, "one").home, 1)
    assert features_of_last_attempt(Checkpoints.of(tmp_path, "other").home) is None
    assert features_of_last_attempt(Checkpoints.of(tmp_path, "one").home) is None

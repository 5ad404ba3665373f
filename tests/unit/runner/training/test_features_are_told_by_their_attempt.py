"""What became of the features is told with the attempt that asked for them, be it an earlier one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.training.checkpoints import Checkpoints
from qlib_shadow_runner.training.trained import features_of_last_attempt, report_path

if TYPE_CHECKING:
    from pathlib import Path


def tell(home: Path, attempt: int, text: str = '{"engine": "fast"}') -> None:
    """Write what an attempt would."""
    report_path(home, attempt).write_text(text)


def test_where_nobody_asked_there_is_nothing_to_tell(tmp_path: Path):
    """As with Qlib's own engine."""
    assert features_of_last_attempt(tmp_path) is None


def test_the_last_attempt_that_asked_is_believed(tmp_path: Path):
    """By number, not by spelling: the tenth comes after the ninth."""
    for attempt in (1, 9, 10):
        tell(tmp_path, attempt, json.dumps({"rows": attempt}))
    assert features_of_last_attempt(tmp_path) == {"rows": 10, "attempt": 10}


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_report_that_cannot_be_read_gives_way_to_the_one_before(tmp_path: Path, text: str):
    """A disk may lose what nobody synced."""
    tell(tmp_path, 1)
    tell(tmp_path, 2, text)
    assert features_of_last_attempt(tmp_path) == {"engine": "fast", "attempt": 1}


def test_another_computation_never_finds_it(tmp_path: Path):
    """A spec or a version that changed between two attempts asks for other features."""
    tell(Checkpoints.of(tmp_path, "one").home, 1)
    assert features_of_last_attempt(Checkpoints.of(tmp_path, "other").home) is None
    assert features_of_last_attempt(Checkpoints.of(tmp_path, "one").home) is None

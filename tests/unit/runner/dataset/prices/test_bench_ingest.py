"""The fast and the plain conversion of `make bench-ingest` write the same dataset."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[4] / "bench" / "ingest.py"


def test_fast_and_plain_conversion_agree():
    """The figures are of the same work."""
    command = [sys.executable, str(BENCH), "--symbols", "6", "--years", "1", "--runs", "1"]
    reported = subprocess.run(command, check=False, capture_output=True, text=True)
    assert reported.returncode == 0, reported.stdout + reported.stderr
    assert "the outputs agree" in reported.stdout

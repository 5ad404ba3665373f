"""Writes run folders for the tests of `runs` and `show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import ARTIFACTS
from qlib_shadow_runner.storage.files import write_json

if TYPE_CHECKING:
    from pathlib import Path


def make_run(data: Path, run_id: str, *, day: int = 1, status: str = "complete", **more: object) -> Path:
    """Write the files of a finished run."""
    folder = data / ARTIFACTS / run_id
    (folder / "results").mkdir(parents=True)
    metadata = {"schema": 1, "run_id": run_id, "status": status, "dataset_end": "2025-01-03"}
    started = {"started_at_utc": f"2026-11-{day:02}T10:00:00.000Z"}
    write_json(folder / "RUN_METADATA.json", {**metadata, **started, **more})
    (folder / "stderr.log").write_text("x" * 100)
    result = {"reason": "Succeeded", "message": "fine", "metrics": {"ic": 0.0368, "annualizedReturn": 0.041}}
    write_json(folder / "results" / "qrun.json", result)
    return folder

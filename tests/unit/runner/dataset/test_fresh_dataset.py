"""A run whose dataset is unchanged imports no large library and starts no step."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.runner.conftest import MakeDataset

HEAVY = {
    "numpy",
    "pandas",
    "qlib",
    "pyarrow",
    "lightgbm",
    "mlflow",
    "yaml",
    "jinja2",
    "rich",
    "urllib.request",
}
DAYS = 30


def sources(tmp_path: Path, make_dataset: MakeDataset) -> dict[str, dict[str, object]]:
    """Prepare the volume for each source that needs no network."""
    inbox = tmp_path / "data" / "inbox"
    inbox.mkdir(parents=True)
    rows = "".join(f"2024-01-{day:02},AAA,1,2,1,2,5\n" for day in range(2, DAYS))
    (inbox / "us.csv").write_text("date,symbol,open,high,low,close,volume\n" + rows)
    make_dataset(DAYS, folder=tmp_path / "data" / "mine")
    return {
        "synthetic": {"source": {"synthetic": {"symbols": 10, "days": 250}}},
        "prices": {"source": {"prices": {"path": "inbox/us.csv"}}},
        "existing": {"source": {"existing": {}}, "path": "/data/mine"},
    }


@pytest.mark.parametrize("kind", ["synthetic", "prices", "existing"])
def test_second_run_imports_no_large_library_and_starts_no_step(
    kind: str, tmp_path: Path, make_dataset: MakeDataset, stage_environ: Callable[..., dict[str, str]]
):
    """Python itself lists what the stage's process, and any child of it, has imported."""
    spec = {"dataset": sources(tmp_path, make_dataset)[kind]}
    words = [sys.executable, "-m", "qlib_shadow_runner", "stage", "download"]
    imported = []
    for run_id in ("first", "second"):
        environ = {**stage_environ(spec, run_id=run_id), "PYTHONPROFILEIMPORTTIME": "1"}
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
        imported.append({line.rpartition("|")[2].strip() for line in lines})
    step = "qlib_shadow_runner.dataset.publish"  # imported by both
    assert {"numpy", step} <= imported[0]
    assert step in imported[1]
    assert imported[1] & HEAVY == set()

"""Qlib's recorder writes metrics while the run goes on; with our plugins the run waits for them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

RECORD = """
import sys, threading
import mlflow.store.tracking.file_store as store
import qlib
from qlib.workflow import R

opened, saved = threading.Event(), threading.Event()

def append_slowly(path, line):
    # A busy machine: the file exists before its first line does.
    with open(path, "a") as file:
        opened.set()
        saved.wait(float(sys.argv[3]))
        file.write(line)

qlib.init(provider_uri=sys.argv[1], region="us")
with R.start(experiment_name="e", uri=sys.argv[1] + "/mlruns"):
    recorder = R.get_recorder()
    if sys.argv[2] == "synchronous":
        from qlib_shadow_runner.plugins.records import log_synchronously
        log_synchronously(recorder)
    store.append_to = append_slowly
    recorder.log_metrics(IC=0.04)
    opened.wait(10)
    try:
        recorder.client.get_run(recorder.id)
    finally:
        saved.set()
"""


@pytest.mark.parametrize(("how", "error"), [("beside", "is malformed. No data found"), ("synchronous", "")])
def test_metric_is_complete_before_it_is_read(tmp_path: Path, how: str, error: str):
    """The first case shows the fault of Qlib's way, the second that ours does not have it."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            RECORD,
            str(tmp_path),
            how,
            "0" if how == "synchronous" else "60",
        ],
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "MLFLOW_ALLOW_FILE_STORE": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode != 0, error in done.stderr) == (bool(error), True), done.stderr

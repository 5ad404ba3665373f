"""MLflow reads the records of one run and of all runs by the links that docs/ui.md describes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from qlib_shadow_runner.contract import ARTIFACTS
from qlib_shadow_runner.runs.mlruns import rebase

PAGE = (Path(__file__).parents[4] / "docs" / "ui.md").read_text()
LINKS = next(block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "ln -s" in block)
RECORD = """
import sys
from mlflow import MlflowClient
for place in sys.argv[1:]:
    name = place.split("/")[-2]
    client = MlflowClient(tracking_uri=place)
    run = client.create_run(client.create_experiment(name))
    for step in range(3):
        client.log_metric(run.info.run_id, "l2.valid", 1.0 - step / 10, step=step)
    client.log_text(run.info.run_id, f"of {name}", "note.txt")
    client.set_terminated(run.info.run_id)
"""
LOOK = """
import json, sys
from mlflow import MlflowClient
found = []
for place in sys.argv[1:]:
    client = MlflowClient(tracking_uri=place)
    seen = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            again = client.get_run(run.info.run_id)
            history = client.get_metric_history(run.info.run_id, "l2.valid")
            files = [file.path for file in client.list_artifacts(run.info.run_id)]
            seen[experiment.name] = [again.info.status, [one.value for one in history], files]
    found.append(seen)
print(json.dumps(found))
"""


def python(code: str, *words: str, **environ: str) -> str:
    """Run code with MLflow in a process, because MLflow prints warnings."""
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", **environ}
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, env={**os.environ, **quiet}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mlflow_reads_the_runs_by_links(tmp_path: Path):
    """It finds runs, their metrics and their artifacts; it would not find them by the path on the volume."""
    allowed = {"MLFLOW_ALLOW_FILE_STORE": "true"}
    runs = {name: tmp_path / "made" / name / "mlruns" for name in ("nightly-1", "nightly-2")}
    python(RECORD, *map(str, runs.values()), **allowed)
    for name, made in runs.items():
        there = tmp_path / "data" / ARTIFACTS / name / "mlruns"
        there.parent.mkdir(parents=True)
        made.rename(there)
        rebase(there)
    one = LINKS.replace("/*/", "/nightly-2/").replace("of-all", "of-one")
    subprocess.run(["bash", "-euc", LINKS + one], cwd=tmp_path, check=True)
    places = [str(tmp_path / name) for name in ("mlruns-of-all", "mlruns-of-one")]
    seen = json.loads(python(LOOK, *places, **allowed))
    whole = ["FINISHED", [1.0, 0.9, 0.8], ["note.txt"]]
    assert seen == [dict.fromkeys(runs, whole), {"nightly-2": whole}]

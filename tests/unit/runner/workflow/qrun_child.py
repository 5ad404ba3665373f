"""`python qrun_child.py FILE…`: run workflows by qrun's own function, and tell what came of each.

One that is named after another, such as `plain with fees`, is backtested on the other's predictions.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from qlib.cli.run import workflow
from qlib.workflow import R
from ruamel.yaml import YAML

from qlib_shadow_runner.plugins.records import PortAnaRecord


def main(files: list[str]) -> None:
    """Train, predict and backtest; print the figures as JSON, last."""
    found = {}
    for file in files:
        name = Path(file).stem
        other = name.partition(" with ")[0]
        if other == name:
            workflow(file, experiment_name=name, uri_folder="mlruns")
        else:
            backtest_again(file, other)
        found[name] = figures(recorder_of(other))
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def recorder_of(name: str) -> Any:
    """Find the one recorder of an experiment."""
    [recorder] = R.list_recorders(experiment_name=name).values()
    return recorder


def backtest_again(file: str, other: str) -> None:
    """Do the last record of a workflow where another has left its predictions."""
    document = YAML(typ="safe", pure=True).load(Path(file))
    record = document["task"]["record"][-1]
    with R.start(experiment_name=other, recorder_id=recorder_of(other).id, resume=True):
        PortAnaRecord(R.get_recorder(), **record["kwargs"]).generate()


def figures(recorder: Any) -> dict[str, float]:
    """Read what a recorder holds."""
    analysis = recorder.load_object("portfolio_analysis/port_analysis_1day.pkl")["risk"]
    predictions = recorder.load_object("pred.pkl")
    return {
        "predictions": len(predictions),
        "missing": int(predictions["score"].isna().sum()),
        "distinct": int(predictions["score"].nunique()),
        "with_cost": float(analysis["excess_return_with_cost", "annualized_return"]),
        "without_cost": float(analysis["excess_return_without_cost", "annualized_return"]),
    }


if __name__ == "__main__":
    main(sys.argv[1:])

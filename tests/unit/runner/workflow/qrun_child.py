"""`python qrun_child.py FILE…`: run workflows by qrun's own function, and tell what came of each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from qlib.cli.run import workflow
from qlib.workflow import R


def main(files: list[str]) -> None:
    """Train, predict and backtest each; print the figures as JSON, last."""
    found = {}
    for file in files:
        name = Path(file).stem
        workflow(file, experiment_name=name, uri_folder="mlruns")
        [recorder] = R.list_recorders(experiment_name=name).values()
        analysis = recorder.load_object("portfolio_analysis/port_analysis_1day.pkl")["risk"]
        predictions = recorder.load_object("pred.pkl")
        found[name] = {
            "predictions": len(predictions),
            "missing": int(predictions["score"].isna().sum()),
            "distinct": int(predictions["score"].nunique()),
            "with_cost": float(analysis["excess_return_with_cost", "annualized_return"]),
            "without_cost": float(analysis["excess_return_without_cost", "annualized_return"]),
        }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

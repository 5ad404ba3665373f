"""Qlib's own way with a saved model: `python -m tests.bench.night.saved WORKFLOW MODEL STORE`."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import qlib
from qlib.utils import fill_placeholder, init_instance_by_config
from qlib.workflow import R


def main(workflow: str, model: str, store: str) -> None:
    """Load the model, make the dataset, and generate the records of the task."""
    document = json.loads(Path(workflow).read_text(encoding="utf-8"))
    manager = qlib.config.C["exp_manager"]
    manager["kwargs"]["uri"] = f"file:{Path(store).resolve()}"
    qlib.init(**document["qlib_init"], exp_manager=manager)
    loaded = pickle.loads(Path(model).read_bytes())
    dataset = init_instance_by_config(document["task"]["dataset"])
    with R.start(experiment_name="saved"):
        recorder = R.get_recorder()
        for record in document["task"]["record"]:
            filled = fill_placeholder(record, {"<MODEL>": loaded, "<DATASET>": dataset})
            init_instance_by_config(filled, recorder=recorder).generate()


if __name__ == "__main__":
    main(*sys.argv[1:])

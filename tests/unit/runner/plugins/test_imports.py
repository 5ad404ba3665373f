"""The modules that a training with features from the cache has imported when it begins."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

IMPORTS = """
import importlib, json, sys
import qlib.cli.run

for name in sys.argv[1].split():
    importlib.import_module(name)
print(json.dumps(list(sys.modules)))
"""
TRAINING = (
    "lightgbm",
    "qlib_shadow_runner.plugins.lightgbm",
    "qlib_shadow_runner.plugins.records",
    "qlib_shadow_runner.plugins.handlers",
    "qlib_shadow_runner.plugins.backtest.exchange",
    "qlib_shadow_runner.plugins.backtest.executor",
    "qlib_shadow_runner.plugins.backtest.records",
    "qlib_shadow_runner.plugins.backtest.strategy",
)
"""The modules that the built-in template names, and what they need."""
NEVER = {
    "numba",
    "llvmlite",
    "matplotlib",
    "PIL",
    "duckdb",
    "IPython",
    "pip",
    "setuptools",
    "sklearn",
    "kopf",
    "pytest",
}


def test_training_imports_no_unused_module(tmp_path: Path) -> None:
    """Neither we nor Qlib import them; Qlib's solvers and its Redis client are the known exceptions."""
    program = tmp_path / "program"
    program.write_text(IMPORTS)
    words = [sys.executable, str(program), " ".join(TRAINING)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"qlib", "mlflow", "lightgbm", *TRAINING} <= loaded
    assert {name.partition(".")[0] for name in loaded} & NEVER == set()

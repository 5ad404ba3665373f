"""What a training with features from the cache has imported when it begins, and what is imported later."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    Begun = tuple[int, str, set[str], list[object]]

IMPORTS = """
import importlib, json, sys
import qlib.cli.run
from importlib.util import _LazyModule

for name in sys.argv[1].split():
    importlib.import_module(name)
loaded = [name for name, module in sys.modules.items() if type(module) is not _LazyModule]
import cvxpy, redis
used = [cvxpy.Variable(2).shape, redis.Redis.__name__, type(cvxpy) is type(redis) is type(sys)]
print(json.dumps([__name__, loaded, used]))
sys.exit(7)
"""
TRAINING = (
    "lightgbm",
    "qlib_shadow_runner.model",
    "qlib_shadow_runner.training.records",
    "qlib_shadow_runner.fast.handler",
    "qlib_shadow_runner.fast.backtest.exchange",
    "qlib_shadow_runner.fast.backtest.executor",
    "qlib_shadow_runner.fast.backtest.records",
    "qlib_shadow_runner.fast.backtest.strategy",
)
"""What the built-in template names, and what that needs."""
NEVER = {
    "cvxpy",
    "redis",
    "redis_lock",
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


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """Let a program that imports as qrun does be started as qrun is."""
    program: Path = tmp_path_factory.mktemp("program") / "program"
    program.write_text(IMPORTS)
    start = (sys.executable, "-P", "-m", "qlib_shadow_runner.stages.starting")
    words = [*start, str(program), " ".join(TRAINING)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=program.parent)
    assert done.stdout, done.stderr
    name, loaded, used = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, name, set(loaded), used


def test_nothing_is_loaded_that_the_run_does_not_use(begun: Begun) -> None:
    """Neither by us nor by Qlib: no compiler, no charts, no solvers, no clients of servers."""
    _, _, loaded, _ = begun
    assert {"qlib", "mlflow", "lightgbm", *TRAINING} <= loaded
    assert {name.partition(".")[0] for name in loaded} & NEVER == set()


def test_what_comes_later_is_there_when_it_is_used(begun: Begun) -> None:
    """The whole module, not something that looks like it."""
    _, _, _, used = begun
    assert used == [[2], "Redis", True]


def test_the_program_is_the_program(begun: Begun) -> None:
    """It is what was started, with its arguments, and its exit code is the process's."""
    code, name, loaded, _ = begun
    assert (code, name) == (7, "__main__")
    assert set(TRAINING) <= loaded, "its argument was read"

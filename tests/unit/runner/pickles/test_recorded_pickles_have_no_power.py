"""What a run leaves on a shared volume does nothing to those who read the run."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.pickles.attacks import of_addresses, patching
from tests.unit.runner.report.recorded_runs import Shape, artifacts_of, make_run, report_table

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Shape(days=60, symbols=12)
ACCOUNT = "portfolio_analysis/report_normal_1day.pkl"
PATCHED = """
import json, sys
import pandas
from pathlib import Path
from qlib_shadow_runner.report.make import report_of
from qlib_shadow_runner.verify import verify_run
before = pandas.Index.equals
report_of(Path(sys.argv[1]))
lines = verify_run(Path(sys.argv[1]))
print(json.dumps({"kept": pandas.Index.equals is before, "lines": [str(line) for line in lines]}))
"""


@pytest.mark.parametrize("command", ["report", "verify"])
def test_array_of_addresses_does_not_crash_the_reader(tmp_path: Path, command: str):
    """Its type claims to hold no references, so that NumPy takes the attacker's bytes for objects."""
    folder = make_run(tmp_path, shape=SMALL)
    (artifacts_of(folder) / ACCOUNT).write_bytes(of_addresses(report_table(SMALL)))
    done = subprocess.run(
        [sys.executable, "-m", "qlib_shadow_runner", command, folder.name, "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if command == "report" else 1), done.stderr
    assert "Traceback" not in done.stderr


def test_class_is_not_patched_by_a_state(tmp_path: Path):
    """The opcode BUILD on a class sets its attributes, for the whole process."""
    folder = make_run(tmp_path, shape=SMALL)
    for name in ("pred.pkl", "label.pkl", "params.pkl"):
        (artifacts_of(folder) / name).write_bytes(patching("pandas", "Index", "equals"))
    done = subprocess.run(
        [sys.executable, "-c", PATCHED, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept"]

"""What a run leaves on a shared volume does nothing to those who read the run."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.pickles.attacks import calling, of_addresses, patching
from tests.unit.runner.report.recorded_runs import Shape, artifacts_of, make_run, report_table

if TYPE_CHECKING:
    from pathlib import Path

SMALL = Shape(days=60, symbols=12)
READ = """
import json, pathlib, sys
import pandas
from qlib_shadow_runner.report.make import report_of
from qlib_shadow_runner.verify import verify_run
before = pandas.Index.equals
folder = pathlib.Path(sys.argv[1])
report_of(folder)
failed = [line.name for line in verify_run(folder) if not line.passed]
print(json.dumps({"kept": pandas.Index.equals is before, "failed": failed}))
"""
ACCOUNT = "portfolio_analysis/report_normal_1day.pkl"
PATCH = patching("pandas", "Index", "equals")
ATTACKS = {
    "an array of addresses whose type claims that they are none": {
        ACCOUNT: of_addresses(report_table(SMALL))
    },
    "a state of a class, which sets its attributes": dict.fromkeys(
        ("pred.pkl", "params.pkl", "dataset"), PATCH
    ),
    "a call": dict.fromkeys(("pred.pkl", "label.pkl", "params.pkl"), calling("os", "_exit", "0")),
}


@pytest.mark.parametrize("pickles", ATTACKS.values(), ids=ATTACKS)
def test_who_reads_a_run_is_neither_crashed_nor_changed(tmp_path: Path, pickles: dict[str, bytes]):
    """The report reads tables; verify says that the pickles do not give them."""
    folder = make_run(tmp_path, shape=SMALL)
    for name, content in pickles.items():
        (artifacts_of(folder) / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["kept"]
    assert "conversion" in found["failed"]
    assert "tables" not in found["failed"]

"""The sample template, run as by a user but on less data, passes the golden run's checks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.unit.runner.workflow.workflow_builders import ROOT

from qlib_shadow_runner.workflow.read_yaml import read_document

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = ROOT / "manifests" / "samples" / "own-template.yaml"


@dataclass(frozen=True)
class Ran:
    """One finished run of the sample."""

    file: Path
    data: Path
    folder: Path
    output: str

    @property
    def metadata(self) -> dict[str, object]:
        """Read RUN_METADATA.json."""
        found = json.loads((self.folder / "RUN_METADATA.json").read_bytes())
        assert isinstance(found, dict)
        return found


def call(*words: object) -> subprocess.CompletedProcess[str]:
    """Call qlib-shadow."""
    command = [sys.executable, "-m", "qlib_shadow_runner", *map(str, words)]
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def prices() -> pd.DataFrame:
    """Return random walks: of stocks for 400 days, and of an index for 30 days more."""
    random, days = np.random.default_rng(7), pd.bdate_range("2020-01-01", periods=430)
    bars = []
    for symbol, count in [(f"SYN{number:03}", 400) for number in range(12)] + [("^GSPC", 430)]:
        close = 100 * np.exp(np.cumsum(random.normal(0, 0.02, count)))
        columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1e6}
        bars.append(pd.DataFrame({"date": days[:count], "symbol": symbol, **columns}))
    return pd.concat(bars)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the sample once, on prices of 12 symbols over 400 days whose index goes on, with signals as CSV."""
    home = tmp_path_factory.mktemp("sample")
    template, run = yaml.safe_load_all(SAMPLE.read_text())
    run["spec"]["dataset"]["source"] = {"prices": {"path": "inbox/bars.csv"}}
    (home / "data/inbox").mkdir(parents=True)
    prices().to_csv(home / "data/inbox/bars.csv", index=False)
    run["spec"]["workflow"]["signalsFormat"] = "csv"
    file = home / "run.yaml"
    file.write_text(yaml.safe_dump_all([template, run]))
    done = call("run", file, "--data", home / "data")
    assert done.returncode == 0, done.stdout + done.stderr
    [folder] = (home / "data/artifacts/trading-ops/qlib-shadow").glob("own-template-*")
    return Ran(file, home / "data", folder, done.stdout)


def test_sample_passes_every_check(ran: Ran):
    """All checks, as for the built-in template."""
    assert "golden run: PASS (17/17)" in ran.output


def test_the_test_segment_ends_with_the_stocks(ran: Ran):
    """Their last day is the universe's; the index and so the calendar go on."""
    metadata = ran.metadata
    assert metadata["universe_end"] == metadata["segments"]["test"][1] == metadata["signals_last"]  # type: ignore[index]
    assert metadata["universe_end"] == f"{pd.bdate_range('2020-01-01', periods=400)[-1]:%Y-%m-%d}"
    assert str(metadata["universe_end"]) < str(metadata["dataset_end"])
    assert any("^GSPC goes on to" in caveat for caveat in metadata["caveats"])  # type: ignore[attr-defined]


def test_signals_are_csv_where_asked(ran: Ran):
    """The checklist holds for such a run too."""
    [signals] = ran.folder.glob("signals_ranked.*")
    header, first, *_ = signals.read_text().splitlines()
    assert (signals.name, header) == (
        "signals_ranked.csv",
        '"date","instrument","score","rank","percentile","expected_return"',
    )
    assert re.fullmatch(r'\d{4}-\d\d-\d\d,"SYN\d{3}",-?[\d.e-]+,1,1,', first)


def test_metadata_has_the_templates_values(ran: Ran):
    """Its name, model, features, label and costs."""
    metadata = ran.metadata
    assert metadata["template"] == 'ConfigMap "momentum", key "workflow.yaml"'
    assert (metadata["model"], metadata["handler"]) == ("LGBModel", "DataHandlerLP")
    assert set(metadata["engines"].values()) == {"fast"}  # type: ignore[attr-defined]
    assert metadata["features"]["engine"] == "fast"  # type: ignore[index]
    assert (metadata["label_looks_ahead_days"], metadata["label_horizon_days"]) == (6, 5)
    assert metadata["strategy"] == {"topk": 2, "n_drop": 1, "hold_thresh": 5}
    assert metadata["exchange"]["impact_cost"] == 0.1  # type: ignore[index]


def test_summary_states_slippage_and_label(ran: Ran):
    """In the caveats."""
    summary = (ran.folder / "backtest_summary.md").read_text()
    assert "| slippage | 10.00% | on top, times the square of the order's share" in summary
    assert (
        "The label looks 6 days ahead; as many lie between the segments. Its value reaches over 5 days."
        in summary
    )
    assert "slippage is a cost and does not move it" in summary


def test_render_prints_exactly_the_file_that_was_run(ran: Ran):
    """Byte for byte."""
    done = call("render", ran.file, "--data", ran.data)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (ran.folder / "workflow.yaml").read_text()


def test_workflow_uses_no_more_processes_or_threads_than_cpus(ran: Ran):
    """One process, and the threads of the container's limit."""
    document = read_document((ran.folder / "workflow.yaml").read_text())
    threads = ran.metadata["limits"]["threads"]  # type: ignore[index]
    assert document["qlib_init"]["kernels"] == 1  # type: ignore[index]
    assert document["task"]["model"]["kwargs"]["num_threads"] == threads  # type: ignore[index]

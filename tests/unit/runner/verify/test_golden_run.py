"""The demo as a user runs it, and every check of it, passing and failing."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import lightgbm
import numpy as np
import pandas as pd
import pytest
from tests.unit.runner.report.independent_figures import performance
from tests.unit.runner.report.pages import number, read_page

from qlib_shadow_runner.analysis.facts import RunFacts
from qlib_shadow_runner.analysis.figures import ReportMaterial
from qlib_shadow_runner.analysis.outputs import Outputs
from qlib_shadow_runner.cli import main as command_line
from qlib_shadow_runner.export.summary import render_summary
from qlib_shadow_runner.pickles.files import RECORDED_IN
from qlib_shadow_runner.pickles.machine import read_pickle
from qlib_shadow_runner.pickles.nodes import state_of
from qlib_shadow_runner.runs.mlruns import RunStatus, recorded_runs
from qlib_shadow_runner.tables.files import read_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_runner.contract import Metrics

ROOT = Path(__file__).resolve().parents[4]
DEMO = ROOT / "manifests" / "samples" / "demo.yaml"


@dataclass(frozen=True)
class Golden:
    """One finished run."""

    data: Path
    folder: Path
    output: str
    code: int

    def document(self, name: str) -> dict[str, object]:
        """Read one of its documents."""
        document = json.loads((self.folder / name).read_bytes())
        assert isinstance(document, dict)
        return document

    def log(self, name: str) -> str:
        """Read one of its logs."""
        return (self.folder / name).read_text()


def plain_environ() -> dict[str, str]:
    """Return a user's environment: no CI, no pytest, another time zone, and something to keep secret."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "HOME"} or name.startswith("OPENBLAS_")
    }
    return {**kept, "TZ": "Asia/Tokyo", "MY_TOKEN": "secret-5f2a"}


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    """Run the demo once for all the tests."""
    home = tmp_path_factory.mktemp("golden")
    command = [sys.executable, "-m", "qlib_shadow_runner", "run", str(DEMO)]
    done = subprocess.run(command, cwd=home, env=plain_environ(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [folder] = (home / "data/artifacts/trading-ops/qlib-shadow").glob("demo-*")
    return Golden(home / "data", folder, done.stdout, done.returncode)


def verify(folder: Path, data: Path) -> tuple[int, dict[str, bool]]:
    """Verify a folder by the command line, in this process: it is done many times."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        code = command_line(["verify", str(folder), "--data", str(data), "--json"])
    return code, checks(told.getvalue())


def verify_by_program(folder: Path, data: Path) -> tuple[int, dict[str, bool]]:
    """Verify a folder as a script does."""
    command = [
        sys.executable,
        "-m",
        "qlib_shadow_runner",
        "verify",
        str(folder),
        "--data",
        str(data),
        "--json",
    ]
    done = subprocess.run(command, env=plain_environ(), capture_output=True, text=True, check=False)
    return done.returncode, checks(done.stdout)


def checks(told: str) -> dict[str, bool]:
    """Read the verdicts by name."""
    return {line["name"]: line["passed"] for line in json.loads(told)["checks"]}


def test_demo_passes_and_prints_so(golden: Golden):
    """Steps, figures, verdict, and where to look."""
    for word in ("features …", "train …", "backtest …", "export …", "report …", "golden run: PASS (17/17)"):
        assert word in golden.output
    assert golden.output.rstrip().endswith(f"{golden.folder.name}/report.html")
    headline = golden.document("RUN_METADATA.json")["verdict"]
    assert f"\n  {headline}\n" in golden.output
    assert f"\n## {headline}\n" in golden.log("backtest_summary.md")
    assert f'">{headline}</p>' in golden.log("report.html")


def test_model_learns_the_signal_of_the_synthetic_data(golden: Golden):
    """The weak signal is found, and the model is not fitted to noise."""
    metrics = golden.document("metrics.json")
    assert 0.02 < float(str(metrics["ic"])) < 0.10
    assert 0.02 < float(str(metrics["rankIc"])) < 0.10
    best = re.search(r"best iteration is:\n\[(\d+)\]", golden.log("stdout.log"))
    assert best is not None
    assert 5 < int(best[1]) < 450


def test_run_folder_has_the_promised_files(golden: Golden):
    """By these names, and no others."""
    shown = {path.name for path in golden.folder.iterdir() if not path.name.startswith(".")}
    assert shown == {
        "workflow.yaml",
        "stdout.log",
        "stderr.log",
        "mlruns",
        "model",
        "backtest_summary.md",
        "signals_ranked.parquet",
        "RUN_METADATA.json",
        "metrics.json",
        "report.html",
        "results",
        "tables",
    }


def test_metadata_has_what_makes_the_run_repeatable(golden: Golden):
    """Times are UTC whatever the time zone; paths are the cluster's."""
    metadata = golden.document("RUN_METADATA.json")
    assert (metadata["status"], metadata["run_id"]) == ("complete", golden.folder.name)
    started, finished = (
        datetime.fromisoformat(str(metadata[f"{word}_at_utc"])) for word in ("started", "finished")
    )
    assert started < finished <= datetime.now(UTC)
    assert metadata["dataset_path"] == "/data/qlib/qlib_data/us_data_1d"
    assert str(metadata["dataset_resolved_path"]).startswith("/data/qlib/qlib_data/us_data_1d@")
    assert metadata["packages"].keys() >= {"pyqlib", "lightgbm", "numpy", "pandas"}  # type: ignore[attr-defined]
    assert int(str(metadata["peak_memory_bytes"])) > 100_000_000


def test_log_uses_the_users_time_zone(golden: Golden):
    """Tokyo is nine hours ahead of what the metadata says."""
    told = re.search(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+\) INFO", golden.log("stderr.log"))
    assert told is not None
    started = datetime.fromisoformat(str(golden.document("RUN_METADATA.json")["started_at_utc"]))
    ahead = datetime.fromisoformat(told[1]).replace(tzinfo=UTC) - started
    assert round(ahead.total_seconds() / 3600) == 9


def test_no_secret_is_kept(golden: Golden):
    """Neither in the logs nor in the workflow nor in MLflow's record."""
    for path in golden.folder.rglob("*"):
        if path.is_file():
            assert b"secret-5f2a" not in path.read_bytes(), path


def test_no_mlflow_run_is_running_and_the_store_has_its_own_path(golden: Golden):
    """`mlflow ui` finds the artifacts where they lie."""
    [run] = recorded_runs(golden.folder / "mlruns")
    assert (run.status, run.experiment) == (RunStatus.FINISHED, golden.folder.name)
    assert f"artifact_uri: {run.artifacts.as_uri()}\n" in (run.folder / "meta.yaml").read_text()


def test_render_prints_exactly_the_file_that_was_run(golden: Golden):
    """Byte for byte, before and after a run alike, and under the same hash."""
    command = [sys.executable, "-m", "qlib_shadow_runner", "render", str(DEMO), "--data", str(golden.data)]
    done = subprocess.run(command, env=plain_environ(), capture_output=True, text=True, check=True)
    assert done.stdout == golden.log("workflow.yaml")
    as_json = [*command, "--json"]
    done = subprocess.run(as_json, env=plain_environ(), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["configHash"] == golden.document("RUN_METADATA.json")["config_hash"]


def test_summary_warns_of_synthetic_prices(golden: Golden):
    """The demo's figures say nothing about a market."""
    summary = golden.log("backtest_summary.md")
    assert "The prices are synthetic" in summary
    assert golden.folder.name in summary


def test_summary_has_the_notes_on_the_data(golden: Golden):
    """A renamed symbol is listed with its name in the source files."""
    note = "symbols renamed from the files (1): NA is NA_"
    metadata = {**golden.document("RUN_METADATA.json"), "dataset_notes": [note]}
    metrics = cast("Metrics", golden.document("metrics.json"))
    signals = pd.read_parquet(golden.folder / "signals_ranked.parquet")
    outputs = Outputs(read_tables(golden.folder, metadata))
    figures = ReportMaterial(outputs, RunFacts.of(metadata)).figures
    page = render_summary(metadata, metrics, figures, signals, "signals_ranked.parquet")
    assert page == golden.log("backtest_summary.md") + f"- {note}\n"


def stage_again(golden: Golden, data: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Let another attempt do the stage on a copy of the volume."""
    metadata = golden.document("RUN_METADATA.json")
    request = {"runId": metadata["run_id"], **{key: metadata[key] for key in ("uid", "name", "namespace")}}
    environ = {
        **plain_environ(),
        **more,
        "QLIB_SHADOW_DATA": str(data),
        "QLIB_SHADOW_REQUEST": json.dumps({**request, "spec": {"dataset": {"source": {"synthetic": {}}}}}),
    }
    command = [sys.executable, "-m", "qlib_shadow_runner", "stage", "qrun"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True)


def test_finished_training_is_not_repeated(golden: Golden, tmp_path: Path):
    """A retry after a failed export costs the export."""
    data = tmp_path / "data"
    shutil.copytree(golden.data, data, symlinks=True)
    folder = data / golden.folder.relative_to(golden.data)
    (folder / "metrics.json").unlink()
    done = stage_again(golden, data)
    assert "an earlier attempt finished training" in done.stdout
    assert verify(folder, data) == (0, dict.fromkeys(LINES, True))


def test_report_has_the_figures_that_qlib_recorded(golden: Golden):
    """Returns and gains, worked out again from the recorder's own files by other means."""
    [artifacts] = golden.folder.glob("mlruns/*/*/artifacts")
    page = read_page(golden.log("report.html"))
    table = pd.read_pickle(artifacts / "portfolio_analysis/report_normal_1day.pkl")
    wanted = performance((table["return"] - table["cost"]).to_numpy())
    for row, value in zip(page.tables["table-performance"][1:], wanted, strict=True):
        assert number(row[1]) == pytest.approx(value, abs=0.00051 if row[1].endswith("%") else 0.0051), row
    model = read_pickle((artifacts / "params.pkl").read_bytes())
    text = state_of(state_of(model)["model"])["_handle"]
    found = lightgbm.Booster(model_str=text).feature_importance("gain")
    gains = sorted(found / found.sum(), reverse=True)
    shown = [number(row[1]) for row in page.tables[""] if len(row) == 3 and row[1].endswith("%")]
    assert shown == pytest.approx(gains[:20], abs=0.00051)
    assert "What this report cannot show" not in page.text


def test_page_that_the_run_makes_says_nothing_of_what_is_not_done(golden: Golden):
    """It has no checklist, and the peak memory is the training's, not that of a stage before it."""
    page, metadata = read_page(golden.log("report.html")), golden.document("RUN_METADATA.json")
    assert "so far" not in page.text
    assert not re.search(r"\d+ of \d+ checks", page.text)
    stages = cast("dict[str, dict[str, int]]", metadata["stages"])
    peak = cast("int", metadata["training_peak_memory_bytes"])
    assert stages["download"]["peak_memory_bytes"] < peak <= stages["qrun"]["peak_memory_bytes"]
    assert f"{peak / 2**20:,.0f} MiB" in page.text


def test_one_day_horizon_is_what_qlib_recorded(golden: Golden):
    """The built-in label is the return from the next day's close, and the curve is of every round."""
    page = read_page(golden.log("report.html"))
    recorded = {row[0]: number(row[1]) for row in page.tables["table-ic"][1:]}
    _, ic, _, rank_ic, *_ = page.tables["table-horizons"][1]
    assert number(ic) == pytest.approx(recorded["IC"], abs=2e-4)
    assert number(rank_ic) == pytest.approx(recorded["Rank IC"], abs=2e-4)
    [metrics] = golden.folder.glob("mlruns/*/*/metrics")
    rounds = len((metrics / "l2.valid").read_text().splitlines())
    assert f"{rounds} rounds; the model uses " in golden.log("report.html")


def test_failing_report_does_not_fail_the_run(golden: Golden, tmp_path: Path):
    """The stage warns, says so in its result and in the metadata, and the report can be made later."""
    data = tmp_path / "data"
    shutil.copytree(golden.data, data, symlinks=True)
    folder = data / golden.folder.relative_to(golden.data)
    done = stage_again(golden, data, QLIB_SHADOW_FAULT="report-made memory")
    assert (
        "warning: the run has no report.html: the step report needs more memory than there is."
        in done.stdout + done.stderr
    )
    result = json.loads((folder / "results/qrun.json").read_bytes())
    assert (result["exitCode"], result["message"][-37:]) == (0, "· without report.html, see stderr.log")
    metadata = json.loads((folder / "RUN_METADATA.json").read_bytes())
    assert (metadata["report_sha256"], metadata["report_fault"][:22]) == (None, "the step report needs ")
    assert not (folder / "report.html").exists()
    assert verify(folder, data) == (0, dict.fromkeys(LINES, True))
    command = [sys.executable, "-m", "qlib_shadow_runner", "report", str(folder), "--data", str(data)]
    subprocess.run(command, env=plain_environ(), check=True, capture_output=True)
    assert "✓ 16 of 16 checks" in read_page((folder / "report.html").read_text()).text
    assert verify(folder, data) == (0, dict.fromkeys(LINES, True))


LINES = (
    "files",
    "metadata",
    "stages",
    "workflow",
    "configuration hash",
    "dataset",
    "recorder",
    "tables",
    "conversion",
    "model",
    "signals",
    "metrics",
    "summary",
    "identity",
    "logs",
    "network",
    "report",
)


@pytest.fixture
def moved(golden: Golden, tmp_path: Path) -> Path:
    """Return a copy of the run folder, somewhere else."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(golden.folder, folder)
    return folder


def test_moved_folder_still_verifies(golden: Golden, moved: Path):
    """Absolute paths inside do not matter."""
    assert verify_by_program(moved, golden.data) == (0, dict.fromkeys(LINES, True))


def replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    """Tamper with a text."""

    def tamper(folder: Path) -> None:
        path = next(iter(folder.glob(name)))
        text = path.read_text()
        assert re.search(old, text), f"{name} has no {old}"
        path.write_text(re.sub(old, new, text, count=1))

    return tamper


def remove(name: str) -> Callable[[Path], object]:
    """Take a file away."""
    return lambda folder: next(iter(folder.glob(name))).unlink()


def exchange(names: str, one: str, other: str) -> Callable[[Path], object]:
    """Give one file the content of the other."""

    def tamper(folder: Path) -> None:
        first, second = (next(iter(folder.glob(names.format(name)))) for name in (one, other))
        first.write_bytes(second.read_bytes())

    return tamper


def better_score(folder: Path) -> None:
    """Let the worst of a day be the best."""
    script = (
        "import sys, pyarrow as pa, pyarrow.parquet as pq\n"
        "table = pq.read_table(sys.argv[1]); frame = table.to_pandas(); frame.loc[0, 'score'] += 1\n"
        "new = pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False)\n"
        "pq.write_table(new.replace_schema_metadata(table.schema.metadata), sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-c", script, str(folder / "signals_ranked.parquet")], check=True)


TAMPERED = {
    "a better figure": (replace("metrics.json", r'"ic": 0', '"ic": 1'), {"metrics"}),
    "a better result": (replace("results/qrun.json", r'"ic": 0', '"ic": 1'), {"metrics"}),
    "a better page": (replace("backtest_summary.md", "nothing was traded", "much was earned"), {"summary"}),
    "another seed": (replace("workflow.yaml", "seed: 7", "seed: 8"), {"workflow", "configuration hash"}),
    "another comment": (replace("workflow.yaml", "never a trade", "a trade"), {"workflow"}),
    "another configuration": (
        replace("RUN_METADATA.json", '"config_hash": "..', '"config_hash": "zz'),
        {"configuration hash", "summary", "identity"},
    ),
    "another dataset": (
        replace("RUN_METADATA.json", '"dataset_fingerprint": "..', '"dataset_fingerprint": "zz'),
        {"configuration hash", "dataset", "summary"},
    ),
    "a run that failed": (replace("RUN_METADATA.json", '"complete"', '"failed"'), {"metadata"}),
    "a run without a start": (replace("RUN_METADATA.json", '"started_at_utc"', '"x"'), {"metadata"}),
    "a stage that failed": (replace("results/download.json", '"exitCode": 0', '"exitCode": 11'), {"stages"}),
    "a better score": (better_score, {"signals"}),
    "a run still running": (replace("mlruns/*/*/meta.yaml", "status: 3", "status: 1"), {"recorder"}),
    "another experiment": (replace("mlruns/[1-9]*/meta.yaml", "\nname: .*", "\nname: other"), {"identity"}),
    "no predictions": (remove("mlruns/*/*/artifacts/pred.pkl"), {"conversion"}),
    "other predictions": (exchange("mlruns/*/*/artifacts/{}.pkl", "pred", "label"), {"conversion"}),
    "no table": (
        remove("tables/predictions.parquet"),
        {"tables", "conversion", "model", "signals", "summary"},
    ),
    "another table": (
        exchange("tables/{}.parquet", "ic", "rank_ic"),
        {"tables", "conversion", "metrics", "summary"},
    ),
    "tables that are not listed": (
        replace("RUN_METADATA.json", '"tables/faults.json"', '"x"'),
        {"tables", "conversion", "metrics", "model", "signals", "summary"},
    ),
    "no signals": (remove("signals_ranked.parquet"), {"files", "signals", "summary", "identity"}),
    "no summary": (remove("backtest_summary.md"), {"files", "summary"}),
    "another report": (replace("report.html", "nothing was traded", "much was earned"), {"report"}),
    "no report": (remove("report.html"), {"report"}),
    "no log": (remove("stdout.log"), {"files", "logs", "network"}),
    "no guard": (replace("RUN_METADATA.json", '"network_guard"', '"x"'), {"network"}),
    "another guard": (replace("RUN_METADATA.json", '"audit-hook"', '"more", "audit-hook"'), {"network"}),
    "a guard that the log does not name": (replace("stdout.log", "network closed by", ""), {"network"}),
    "a log cut short": (replace("stderr.log", "stage download attempt", ""), {"logs"}),
}


@pytest.mark.parametrize(("tamper", "lines"), TAMPERED.values(), ids=TAMPERED)
def test_changed_folder_fails_the_right_check(
    golden: Golden, moved: Path, tamper: Callable[[Path], object], lines: set[str]
):
    """By content: these lines, and no others."""
    tamper(moved)
    code, found = verify(moved, golden.data)
    assert {name for name, passed in found.items() if not passed} == lines
    assert code == 1


def test_changed_dataset_is_noticed(golden: Golden, tmp_path: Path):
    """Every byte is hashed again."""
    data = tmp_path / "data"
    shutil.copytree(golden.data, data, symlinks=True)
    [close] = data.glob("qlib/qlib_data/us_data_1d@*/features/syn001/close.day.bin")
    close.write_bytes(close.read_bytes()[:-4] + b"\0\0\0\1")
    assert {name for name, passed in verify(golden.folder, data)[1].items() if not passed} == {"dataset"}


def test_ctrl_c_stops_training_and_leaves_nothing_running(tmp_path: Path):
    """130 for the shell; the folder says that it was interrupted."""
    command = [sys.executable, "-m", "qlib_shadow_runner", "run", str(DEMO)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=plain_environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while "features …" not in (line := process.stdout.readline()):
            assert line, "the run ended before training began"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    [folder] = (tmp_path / "data/artifacts/trading-ops/qlib-shadow").iterdir()
    assert process.returncode == 130
    assert errors.startswith("Interrupted: the stage was told to stop")
    assert errors.endswith(f"\n  to continue it: qlib-shadow run {DEMO} --resume\n")
    assert json.loads((folder / "RUN_METADATA.json").read_bytes())["status"] == "interrupted"
    assert {run.status for run in recorded_runs(folder / "mlruns")} <= {RunStatus.KILLED}


def test_run_is_in_the_catalog(golden: Golden):
    """With the figures that it told, entered before its last stage ended."""
    row = pd.read_parquet(golden.folder.parent / "catalog" / "runs.parquet").set_index("run_id")
    found, metrics = row.loc[golden.folder.name], golden.document("metrics.json")
    assert (found["status"], found["ic"], found["max_drawdown"]) == (
        "complete",
        metrics["ic"],
        metrics["maxDrawdown"],
    )
    assert "note: the catalog" not in golden.log("stderr.log")


HELD: Final = """
import json, pathlib, pickle, sys
artifacts = pathlib.Path(sys.argv[1])
positions = pickle.loads((artifacts / "portfolio_analysis/positions_normal_1day.pkl").read_bytes())
rows = [
    [f"{day:%Y-%m-%d}", name, *(float(one.position[name][key]) for key in ("price", "weight"))]
    for day, one in positions.items()
    for name in one.position
    if name in one.get_stock_list()
]
model = pickle.loads((artifacts / "params.pkl").read_bytes()).model
rounds = [model.current_iteration(), model.best_iteration]
print("", json.dumps({"rows": rows, "days": len(positions), "rounds": rounds}), sep="\\n")
"""


def test_tables_hold_what_the_recorder_pickled(golden: Golden):
    """As pandas, Qlib and LightGBM restore it: every value to its last bit, every name, every day."""
    [artifacts] = golden.folder.glob("mlruns/*/*/artifacts")
    tables = read_tables(golden.folder, golden.document("RUN_METADATA.json"))
    assert tables.faults == {}
    found = {name: table.to_pandas(date_as_object=False) for name, table in tables.found.items()}
    for name, table in found.items():
        if name in ("predictions", "labels", "ic", "rank_ic", "account"):
            wanted = pd.read_pickle(artifacts / RECORDED_IN[name])
            got = table.set_index([column for column in ("date", "instrument") if column in table])
            assert got.index.tolist() == wanted.index.tolist()
            assert np.array_equal(got.to_numpy(), wanted.to_numpy().reshape(got.shape), equal_nan=True), name
    risk = pd.read_pickle(artifacts / RECORDED_IN["risk"])["risk"]
    assert found["risk"].set_index(["group", "figure"])["value"].to_dict() == risk.to_dict()
    done = subprocess.run([sys.executable, "-c", HELD, str(artifacts)], capture_output=True, check=True)
    qlib = json.loads(done.stdout.splitlines()[-1])
    held = found["positions"].dropna(subset="instrument")
    days = held["date"].dt.strftime("%Y-%m-%d")
    assert [
        list(row) for row in zip(days, held["instrument"], held["price"], held["weight"], strict=True)
    ] == qlib["rows"]
    assert found["positions"]["date"].nunique() == qlib["days"]
    assert found["rounds"].iloc[0].tolist() == qlib["rounds"]

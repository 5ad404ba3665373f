"""catalog/runs.parquet has one row for each run folder, also after damage."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.parquet as pq
import pytest
from tests.unit.runner.catalog.volumes import SmallVolume

from qlib_shadow_runner.catalog.rows import row_of
from qlib_shadow_runner.catalog.run_columns import COLUMNS
from qlib_shadow_runner.catalog.tables import RUNS_SCHEMA, as_table
from qlib_shadow_runner.catalog.update import read_catalog, update
from qlib_shadow_runner.contract import ENV_REQUEST, ExitCode
from qlib_shadow_runner.runs.listing import LONG_AGO, ListedRun, all_runs

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def small(tmp_path: Path) -> SmallVolume:
    """Return a volume with two runs."""
    volume = SmallVolume(tmp_path / "data")
    volume.add_run("nightly-1", 60)
    volume.add_run("nightly-2", 61)
    return volume


def table(small: SmallVolume) -> pd.DataFrame:
    """Read the catalog as a user does."""
    return pd.read_parquet(small.catalog / "runs.parquet").set_index("run_id")


def metric(small: SmallVolume, run_id: str) -> object:
    """Take one figure out of the map."""
    return {str(name): value for name, value in table(small)["metrics"][run_id]}["annualizedReturn"]


def test_row_has_identity_times_configuration_and_figures(small: SmallVolume):
    """Newest first, with types that SQL can compare."""
    update(small.volume)
    rows = table(small)
    assert list(rows.index) == ["nightly-2", "nightly-1"]
    row = rows.loc["nightly-1"]
    told = {name: row[name] for name in ("name", "uid", "status", "config_hash", "signals_file", "topk")}
    assert told == {
        "name": "nightly",
        "uid": "uid-of-nightly-1",
        "status": "complete",
        "config_hash": "config-of-nightly-1",
        "signals_file": "signals_ranked.parquet",
        "topk": 5,
    }
    assert (row["dataset_end"], row["seconds"]) == (date(2026, 3, 25), 9.75)
    assert row["started_at"] == datetime(2026, 3, 25, 22)  # noqa: DTZ001 - UTC, without saying so
    assert (row["ic"], row["rank_ic"], row["max_drawdown"]) == (0.036, 0.05, -0.1)
    assert metric(small, "nightly-1") == 0.08


def test_every_column_is_documented():
    """In the order of the table."""
    page = Path(__file__).parents[4] / "docs" / "catalog.md"
    told = [line.split("`")[1] for line in page.read_text().splitlines() if line.startswith("| `runs.")]
    assert told == [f"runs.{column.name}" for column in COLUMNS]


def test_unchanged_folder_is_not_read_again(small: SmallVolume):
    """A changed document is; a folder that was removed has no row."""
    update(small.volume)
    metrics = small.data / "artifacts/trading-ops/qlib-shadow/nightly-1/metrics.json"
    before = metrics.stat()
    content = metrics.read_text().replace("0.08", "0.99")
    metrics.write_text(content)
    os.utime(metrics, ns=(before.st_atime_ns, before.st_mtime_ns))
    update(small.volume)
    assert metric(small, "nightly-1") == 0.08
    os.utime(metrics, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    update(small.volume)
    assert metric(small, "nightly-1") == 0.99
    shutil.rmtree(metrics.parent)
    update(small.volume)
    assert list(table(small).index) == ["nightly-2"]


def test_unchanged_catalog_is_not_written_again(small: SmallVolume):
    """Readers keep the file that they have open."""
    update(small.volume)
    before = (small.catalog / "runs.parquet").stat().st_ino
    update(small.volume)
    assert (small.catalog / "runs.parquet").stat().st_ino == before


DAMAGES: dict[str, Callable[[Path], object]] = {
    "lost": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "overwritten inside": lambda path: path.write_bytes(
        path.read_bytes()[:-600] + bytes(592) + path.read_bytes()[-8:]
    ),
    "another table": lambda path: pd.DataFrame({"run_id": ["x"]}).to_parquet(path),
    "of another version": lambda path: pq.write_table(pq.read_table(path).replace_schema_metadata({}), path),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_lost_or_damaged_catalog_is_made_again(small: SmallVolume, damage: Callable[[Path], object]):
    """Byte for byte, from the run folders."""
    update(small.volume)
    path = small.catalog / "runs.parquet"
    before = path.read_bytes()
    damage(path)
    update(small.volume)
    assert path.read_bytes() == before


WRONG: tuple[object, ...] = ({}, [], 7, "x", None, 1e400, 10**30, True)


def test_wrong_metadata_leaves_fields_empty(small: SmallVolume):
    """Edited metadata cannot break the table for other runs."""
    path = small.data / "artifacts/trading-ops/qlib-shadow/nightly-1/RUN_METADATA.json"
    document = json.loads(path.read_text())
    for wrong in WRONG:
        strange = {key: document[key] if key == "run_id" else wrong for key in document}
        row = {**row_of(ListedRun(path.parent, strange)), "stamp": ""}
        assert as_table([row], RUNS_SCHEMA).num_rows == 1
    for started in ("soon", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"):
        strange = {**document, "dataset_end": 20260101, "started_at_utc": started, "stages": [3]}
        path.write_text(json.dumps(strange))
        update(small.volume)
        found = table(small).loc["nightly-1"]
        assert found[["dataset_end", "started_at", "seconds"]].isna().all()
        assert [run.started for run in all_runs(small.volume) if run.run_id == "nightly-1"] == [LONG_AGO]


def link_to_itself(path: Path) -> None:
    """Lead nowhere."""
    path.symlink_to(path.name)


CORRUPTIONS: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a link to itself": link_to_itself,
    "a pipe": os.mkfifo,
    "brackets in brackets": lambda path: path.write_text("[" * 100_000),
    "deep inside": lambda path: path.write_text(
        f'{{"run_id": "{path.parent.name}", "a": {"[" * 90_000}{"]" * 90_000}}}'
    ),
    "half a letter": lambda path: path.write_text(
        f'{{"run_id": "{path.parent.name}", "status": "failed", "reason": "\\ud800"}}'
    ),
}


@pytest.mark.parametrize("corrupt", CORRUPTIONS.values(), ids=CORRUPTIONS)
@pytest.mark.parametrize("name", ["RUN_METADATA.json", "metrics.json", "results/qrun.json"])
def test_damaged_folder_does_not_hide_other_runs(
    small: SmallVolume, name: str, corrupt: Callable[[Path], object]
):
    """Its row says what is damaged: last where even the metadata cannot be read."""
    path = small.data / "artifacts/trading-ops/qlib-shadow/nightly-1" / name
    path.unlink()
    corrupt(path)
    there = [("nightly-2", "complete"), ("nightly-1", "damaged")]
    rows = update(small.volume).runs
    assert [(row["run_id"], row["status"]) for row in rows] == there
    assert rows[1]["message"].startswith(f"{name} is ")
    assert [(run.run_id, run.status) for run in all_runs(small.volume)] == there
    assert all(run.size > 0 for run in all_runs(small.volume))


def test_unreadable_folder_does_not_hide_other_runs(small: SmallVolume, monkeypatch: pytest.MonkeyPatch):
    """Root can read everything, so the system call is made to fail here."""

    def refusing(function: Callable[..., object], below: str) -> Callable[..., object]:
        def asked(path: object, *more: object, **named: object) -> object:
            if below in str(path):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *more, **named)

        return asked

    for name, below in {"stat": "/nightly-1/", "open": "nightly-1"}.items():
        monkeypatch.setattr(os, name, refusing(getattr(os, name), below))
    rows = read_catalog(small.volume).runs
    assert [(row["run_id"], row["status"]) for row in rows] == [
        ("nightly-2", "complete"),
        ("nightly-1", "damaged"),
    ]
    assert rows[1]["message"] == "RUN_METADATA.json cannot be read (Permission denied)"


def test_dead_run_is_noticed_without_a_changed_document(small: SmallVolume):
    """A run that has not ended is looked at each time."""
    folder = small.add_run("nightly-3", 62, status="running", stages={"qrun": {"attempts": 1}})
    with (folder / ".attempt.json").open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert read_catalog(small.volume).runs[0]["status"] == "running"
    assert read_catalog(small.volume).runs[0]["status"] == "interrupted"


ONE_RUN_AFTER_ANOTHER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from tests.unit.runner.catalog.volumes import SmallVolume
from qlib_shadow_runner.catalog.update import update
small = SmallVolume(Path(sys.argv[1]))
for number in range(4):
    small.add_run(f"{sys.argv[2]}-{number}", 60, last=1)
    update(small.volume)
"""


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Wait for a moment."""
    try:
        process.wait(0.05)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_runs_that_end_together_are_all_in_the_table(tmp_path: Path):
    """Three processes, four runs each; a reader meanwhile finds a whole table that only grows."""
    small = SmallVolume(tmp_path / "data")
    root = str(Path(__file__).parents[4])
    command = [sys.executable, "-c", ONE_RUN_AFTER_ANOTHER, str(small.data)]
    at_work = [subprocess.Popen([*command, name, root]) for name in "abc"]
    seen = [0]
    for process in at_work:
        while not has_ended(process):
            if (small.catalog / "runs.parquet").exists():
                content = (small.catalog / "runs.parquet").read_bytes()
                seen.append(pq.read_table(io.BytesIO(content)).num_rows)
    assert [process.returncode for process in at_work] == [0] * 3
    assert seen == sorted(seen)
    assert sorted(table(small).index) == sorted(f"{name}-{number}" for name in "abc" for number in range(4))


def test_rows_are_returned_if_the_catalog_cannot_be_written(small: SmallVolume):
    """For example on a read-only volume; root can write everywhere, so a file blocks the folder here."""
    small.catalog.write_text("in the way")
    assert [row["run_id"] for row in read_catalog(small.volume).runs] == ["nightly-2", "nightly-1"]


def run_stage(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Do the qrun stage of a run without a dataset, which ends at once."""
    words = [sys.executable, "-m", "qlib_shadow_runner", "stage", "qrun"]
    return subprocess.run(words, env=environ, capture_output=True, text=True, check=False)


def test_finished_run_is_added(small: SmallVolume, stage_environ: Callable[..., dict[str, str]]):
    """A failed run too; the stage ends as before."""
    done = run_stage(stage_environ())
    assert done.returncode == ExitCode.BAD_DATA
    row = table(small).loc["demo-1"]
    assert (row["status"], row["reason"]) == ("failed", "DatasetMissing")
    assert row["message"].startswith("there is no verified dataset at ")
    assert len(table(small)) == 3


def test_failing_catalog_is_only_logged(small: SmallVolume, stage_environ: Callable[..., dict[str, str]]):
    """The stage's result and exit code are unchanged."""
    small.catalog.write_text("in the way")
    environ = stage_environ()
    done = run_stage(environ)
    assert done.returncode == ExitCode.BAD_DATA
    failure, note = done.stderr.splitlines()
    assert failure.startswith("DatasetMissing: ")
    assert note == (
        f"note: the catalog of runs was not brought up to date: {small.catalog} is a file where a folder is "
        "needed. Remove it. The next run or query does it."
    )
    folder = small.catalog.with_name(json.loads(environ[ENV_REQUEST])["runId"])
    assert json.loads((folder / "results" / "qrun.json").read_text())["reason"] == "DatasetMissing"
    assert note in (folder / "stderr.log").read_text()


def test_column_names_are_unique():
    """As SQL wants it."""
    assert len(set(RUNS_SCHEMA.names)) == len(RUNS_SCHEMA.names)
    assert all(name.isidentifier() and name == name.lower() for name in RUNS_SCHEMA.names)

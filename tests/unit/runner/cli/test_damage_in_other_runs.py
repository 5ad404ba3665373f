"""What other runs have put on the volume costs them a row that says so, and never a command.

Each place in a run folder is damaged in a folder of its own, all of them in the same way, and then every
command that lists or reads runs is called once. `make chaos` tries every way and reads every damaged run too.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.runner.catalog.volumes import SmallVolume
from tests.unit.runner.report.recorded_runs import make_run
from tests.unit.runner.special_files import CONTENTS, DAMAGES, SPECIAL, replace

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import ARTIFACTS
from qlib_shadow_runner.dataset.manifest import manifest_path
from qlib_shadow_runner.ui.app import application

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

THOROUGH = "QLIB_SHADOW_CHAOS_ROUNDS" in os.environ
WAYS = list(DAMAGES) if THOROUGH else ["FIFO", "link", "sparse"]
ROW = ("RUN_METADATA.json", "metrics.json", "results/qrun.json", "results/golden.json")
"""The documents that a row of the list is made of."""
FOLDERS = ("results", "mlruns", "mlruns/1", ".attempts", ".checkpoints")
READ = (
    *ROW,
    *("results/trained.json", ".owner.json", ".attempt.json", "workflow.yaml", "report.html"),
    *("signals_ranked.parquet", "stdout.log", "stderr.log", "backtest_summary.md"),
    *("mlruns/1/meta.yaml", "mlruns/1/{run}/meta.yaml", "mlruns/1/{run}/artifacts/pred.pkl"),
    *FOLDERS,
)
"""Every place in a run folder that something reads."""
SHARED = ("catalog/runs.parquet", "catalog/followup.parquet", "catalog/.catalog.lock")
OF_THE_DATASET = ("calendars/day.txt", "instruments/all.txt", "features/s01/close.day.bin", "features")
pytestmark = pytest.mark.timeout(300 if THOROUGH else 60)


@dataclass(frozen=True)
class Damaged:
    """A volume with two whole runs, and one for each place that is damaged."""

    small: SmallVolume
    runs: Mapping[str, str]
    """The place that is damaged in each run."""

    def folder(self, run_id: str) -> Path:
        """Return a run's folder."""
        return self.small.data / ARTIFACTS / run_id

    def command(self, *words: str) -> tuple[int, str]:
        """Return the exit code and the output of a command."""
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(io.StringIO()):
            code = main([*words, "--data", str(self.small.data)])
        return code, told.getvalue()

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """Return the JSON list that a command prints."""
        code, told = self.command(*words, "--json")
        assert code == 0, told
        found: list[dict[str, Any]] = json.loads(told)
        return found


def name(place: str) -> str:
    """Return the id of the run in which a place is damaged."""
    return "hostile-" + "".join(letter if letter.isalnum() else "-" for letter in place).strip("-").lower()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SmallVolume:
    """Leave whole runs, one of them with everything that a training records."""
    small = SmallVolume(tmp_path_factory.mktemp("whole") / "data")
    small.add_dataset(70)
    for number, run_id in enumerate(("nightly-1", "nightly-2")):
        small.add_run(run_id, 60 + number)
    recorded = make_run(small.data)
    full = small.add_run("full", 62)
    for path in sorted(recorded.rglob("*")):
        target = full / path.relative_to(recorded)
        if path.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for place in ("stdout.log", "stderr.log", "report.html", ".owner.json", ".attempt.json"):
        (full / place).write_text("{}")
    shutil.rmtree(recorded)
    return small


@pytest.fixture(params=WAYS)
def damaged(request: pytest.FixtureRequest, whole: SmallVolume, tmp_path: Path) -> Damaged:
    """Damage every place in one way, each in a copy of the full run."""
    small = SmallVolume(tmp_path / "data")
    shutil.copytree(whole.data, small.data, symlinks=True)
    runs = {name(place): place for place in READ}
    full = small.data / ARTIFACTS / "full"
    [recorded] = full.glob("mlruns/*/*/meta.yaml")
    for run_id, place in runs.items():
        folder = full.with_name(run_id)
        shutil.copytree(full, folder)
        path = folder / "RUN_METADATA.json"
        path.write_text(json.dumps({**json.loads(path.read_bytes()), "run_id": run_id}))
        replace(folder / place.format(run=recorded.parent.name), request.param)
    shutil.rmtree(full)
    return Damaged(small, runs)


def test_every_list_has_a_row_for_each_run(damaged: Damaged, request: pytest.FixtureRequest):
    """One that says what is damaged, where a document of the row is."""
    way = request.node.callspec.params["damaged"]
    rows = {row["runId"]: row for row in damaged.rows("runs")}
    assert set(rows) == {"nightly-1", "nightly-2", *damaged.runs}
    asked = damaged.rows("query", "select run_id, status, message from runs")
    catalog = {row["run_id"]: row for row in asked}
    assert set(catalog) == set(rows)
    for run_id, place in damaged.runs.items():
        told = (rows[run_id]["status"], catalog[run_id]["status"])
        if place in ROW or (place == "results" and way not in ("folder", *CONTENTS)):
            assert told == ("damaged", "damaged")
            assert rows[run_id]["damage"] == catalog[run_id]["message"]
            assert rows[run_id]["damage"].startswith(place)
        elif place != "results":
            assert told == ("complete", "complete")
    assert [rows[run_id]["status"] for run_id in ("nightly-1", "nightly-2")] == ["complete"] * 2
    listed = damaged.command("runs")[1]
    assert "RUN_METADATA.json is " in listed or "RUN_METADATA.json has " in listed
    assert len(listed.splitlines()) == len(rows) + 1


def test_every_other_command_goes_on(damaged: Damaged):
    """With the runs that are whole."""
    counts = damaged.rows("query", "select run_id, count(*) as n from signals group by 1")
    assert {"nightly-1", "nightly-2"} <= {row["run_id"] for row in counts}
    assert "hostile-signals-ranked-parquet" not in {row["run_id"] for row in counts}
    outcome = damaged.rows("query", "select distinct run_id from followup")
    assert {"nightly-1", "nightly-2"} <= {row["run_id"] for row in outcome}
    assert damaged.command("followup")[0] == 0
    code, told = damaged.command("prune", "--keep", "1", "--dry-run")
    assert (code, "hostile-run-metadata-json" in told) == (0, False)
    assert damaged.command("show", "nightly-1")[0] == 0
    assert damaged.command("show", "hostile-run-metadata-json")[0] == 0


def test_every_page_is_shown(damaged: Damaged):
    """The first one, the list, and the page of each run; what is no file is not found."""
    app = application(damaged.small.volume)
    assert get(app, "/")[0] == 200
    status, page = get(app, "/runs")
    assert (status, "nightly-1" in page, "hostile-mlruns" in page) == (200, True, True)
    assert "RUN_METADATA.json is " in page or "RUN_METADATA.json has " in page
    assert get(app, "/followup")[0] == 200
    for run_id, place in damaged.runs.items():
        assert get(app, f"/runs/{run_id}")[0] == 200, place
        assert get(app, f"/runs/{run_id}/logs/stdout")[0] == 200
        assert get(app, f"/runs/{run_id}/report")[0] in (200, 404)
        assert get(app, f"/runs/{run_id}/files/{place}")[0] in (200, 404)


def get(app: Any, path: str) -> tuple[int, str]:
    """Ask the pages, without a server."""
    sent: list[dict[str, Any]] = []

    asked = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        return asked.pop() if asked else await asyncio.get_running_loop().create_future()

    async def send(message: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    scope |= {"raw_path": path.encode(), "root_path": "", "scheme": "http", "http_version": "1.1"}
    with contextlib.suppress(Exception):  # the page of a failure is sent before it is raised
        asyncio.run(app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body.decode(errors="replace")


def test_a_damaged_run_is_named_by_commands_that_read_it(damaged: Damaged):
    """They end with a code of their own and a sentence; verify finds the fault."""
    for run_id, place in damaged.runs.items() if THOROUGH else list(damaged.runs.items())[::6]:
        code, told = damaged.command("verify", run_id, "--json")
        assert code in (1, 10), place
        assert "Traceback" not in told
        for words in (["report", run_id], ["compare", "nightly-1", run_id]):
            code, told = damaged.command(*words, "--output", str(damaged.small.data / "page.html"), "--json")
            assert code in (0, 10), (words, told)
            assert "defect" not in told


@pytest.mark.parametrize("way", WAYS)
def test_damage_of_what_all_runs_share_costs_no_command(whole: SmallVolume, tmp_path: Path, way: str):
    """The catalog is made again, and a damaged dataset has no outcomes."""
    small = SmallVolume(tmp_path / "data")
    shutil.copytree(whole.data, small.data, symlinks=True)
    damaged = Damaged(small, {})
    for place in SHARED:
        replace(small.data / ARTIFACTS / place, way)
        assert len(damaged.rows("query", "from runs")) == 3
    if way in SPECIAL and way != "sparse":  # the catalog cannot be written until a person removes this
        code, told = damaged.command("followup", "--json")
        assert (code, json.loads(told)["message"].endswith(" Remove it.")) == (10, True)
    shutil.rmtree(small.data / ARTIFACTS / "catalog")
    [version] = small.data.glob("qlib/qlib_data/us@*[0-9a-f]")
    for path in (*(version / place for place in OF_THE_DATASET), manifest_path(version)):
        replace(path, way)
        assert len(damaged.rows("query", "select run_id from runs")) == 3
        assert damaged.rows("query", "select count(*) as n from returns")[0]["n"] >= 0
        assert damaged.command("followup")[0] == 0
        assert damaged.command("prune", "--datasets", "--dry-run")[0] == 0


def test_special_files_are_what_they_are_called(tmp_path: Path):
    """Else the tests above would damage nothing."""
    for way in SPECIAL:
        path = tmp_path / way
        replace(path, way)
        assert not path.is_file() or path.is_symlink() or path.stat().st_size > 1 << 37

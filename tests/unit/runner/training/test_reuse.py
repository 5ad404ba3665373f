"""Identical runs have equal outputs to the last bit, and reuse one training where the spec allows it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from tests.unit.runner.pickles.attacks import of_addresses
from tests.unit.runner.special_files import replace

from local_stages import RUNNER, LocalVolume
from qlib_shadow_runner.cli import main
from qlib_shadow_runner.crash_points import QrunPoint, ReusePoint
from qlib_shadow_runner.runs.mlruns import RunStatus, finished_run, recorded_runs
from qlib_shadow_runner.storage.listed_files import hash_files
from qlib_shadow_runner.tables.files import FILES
from qlib_shadow_runner.training import reuse
from qlib_shadow_runner.training.checkpoints import code_is_known
from qlib_shadow_runner.training.reuse import copy_training, find_identical_run
from qlib_shadow_runner.training.trained import Trained

if TYPE_CHECKING:
    from collections.abc import Callable

    Damage = Callable[[Path], object]

TRAINING = "Training until validation scores"
ON_ONE_CORE = (
    "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> LocalVolume:
    """Run once on a volume that nothing changes."""
    volume = LocalVolume(tmp_path_factory.mktemp("first"))
    volume.run("first")
    assert volume.faults("first") == []
    return volume


@dataclass(frozen=True)
class Again:
    """The same question asked once more of a copy of the volume, by a run that reuses nothing."""

    volume: LocalVolume
    output: str


@pytest.fixture(scope="module")
def again(first: LocalVolume, tmp_path_factory: pytest.TempPathFactory) -> Again:
    """Run once more, somewhere else and on one core."""
    volume = LocalVolume(tmp_path_factory.mktemp("again"))
    shutil.copytree(first.mount, volume.mount, symlinks=True)
    assert volume.stage("download", "again").returncode == 0
    process = volume.start([sys.executable, "-c", ON_ONE_CORE, *RUNNER[1:], "qrun"], "again")
    output, errors = process.communicate()
    assert process.returncode == 0, output + errors
    return Again(volume, output)


@pytest.fixture
def volume(first: LocalVolume, tmp_path: Path) -> LocalVolume:
    """Return a copy of it, somewhere else."""
    shutil.copytree(first.mount, tmp_path / "data", symlinks=True)
    return LocalVolume(tmp_path)


@pytest.fixture
def reusing(volume: LocalVolume) -> LocalVolume:
    """Let the next runs on it take over what is there."""
    volume.spec["reuse"] = "IfIdentical"
    return volume


def parquet_body(content: bytes) -> bytes:
    """Return a Parquet file without its footer, which ends with its own length and four letters."""
    return content[: -8 - int.from_bytes(content[-8:-4], "little")]


def as_csv(table: pa.Table) -> bytes:
    """Write a table as text, every score to its last bit."""
    buffer = io.BytesIO()
    pa_csv.write_csv(table.replace_schema_metadata(None), buffer)
    return buffer.getvalue()


def test_runs_with_other_folders_and_threads_have_equal_outputs(again: Again):
    """One thread instead of all: the signals' data, the figures, and the pickles they come from are equal."""
    volume = again.volume
    assert volume.metadata("again")["limits"]["threads"] == 1
    one, other = (volume.outputs(run_id)["signals_ranked.parquet"] for run_id in ("first", "again"))
    assert one != other, "each names its run"
    assert parquet_body(one) == parquet_body(other)
    tables = [pq.read_table(io.BytesIO(content)) for content in (one, other)]
    assert tables[0].equals(tables[1])
    assert as_csv(tables[0]) == as_csv(tables[1])
    tables = [[volume.outputs(run_id)[name] for name in FILES] for run_id in ("first", "again")]
    assert tables[0] == tables[1]
    figures = [json.loads(volume.outputs(run_id)["metrics.json"]) for run_id in ("first", "again")]
    assert [figure.pop("runId") for figure in figures] == ["first", "again"]
    assert figures[0] == figures[1]
    assert artifacts(volume, "first") == artifacts(volume, "again")
    assert charts(volume, "first") == charts(volume, "again")


def charts(volume: LocalVolume, run_id: str) -> list[str]:
    """Return the pictures of a run's report; there are enough of them to tell runs apart."""
    found = re.findall(r"<svg.*?</svg>", (volume.folder(run_id) / "report.html").read_text(), re.DOTALL)
    assert len(found) > 10
    return found


def artifacts(volume: LocalVolume, run_id: str) -> dict[str, str]:
    """Return the hashes of what was predicted, analysed and simulated."""
    trained = Trained.read(volume.folder(run_id))
    assert trained is not None
    files = {name: digest for name, digest in trained.files.items() if name.endswith(".pkl")}
    assert len(files) >= 11
    # Trees name the number of threads that they were grown with.
    return {name: digest for name, digest in files.items() if "params" not in name}


def test_an_identical_run_is_named(again: Again):
    """With Never it computes all the same, and is held against the other."""
    volume = again.volume
    assert TRAINING in volume.log(run_id="again")
    metadata = volume.metadata("again")
    assert (metadata["identical_to"], metadata["identical_signals"]) == ("first", True)
    assert metadata["reused_from"] is None
    assert volume.result("again")["message"].endswith(" · same signals as the run first")
    assert "| Identical run | `first`: the same signals |" in again.output + page(volume, "again")
    assert volume.faults("again") == []


def page(volume: LocalVolume, run_id: str) -> str:
    """Read the summary."""
    return volume.outputs(run_id)["backtest_summary.md"].decode()


def test_the_training_of_an_identical_run_is_reused(reusing: LocalVolume):
    """Nothing is trained, the run is its own in every file, and the other is as it was."""
    before = hash_files(reusing.folder("first"))
    done = reusing.run("second")
    assert TRAINING not in done.stdout
    assert "the run first answered the same question of the same data with the same versions" in done.stdout
    assert charts(reusing, "second") == charts(reusing, "first")
    metadata = reusing.metadata("second")
    assert (metadata["reused_from"], metadata["identical_signals"]) == ("first", True)
    assert metadata["features"] is None, "it asked for none"
    assert reusing.result("second")["message"].endswith(" · taken over from the run first")
    assert "taken over from the run `first`" in page(reusing, "second")
    assert reusing.faults("second") == []
    bodies = [parquet_body(reusing.outputs(name)["signals_ranked.parquet"]) for name in ("first", "second")]
    assert bodies[0] == bodies[1]
    assert hash_files(reusing.folder("first")) == before
    links = {path.stat().st_nlink for path in reusing.folder("second").rglob("*") if path.is_file()}
    assert links == {1}
    shutil.rmtree(reusing.folder("first"))
    reusing.run("third")
    assert reusing.metadata("third")["reused_from"] == "first", (
        "the run that did the work, not the last in line"
    )
    assert reusing.faults("third") == []


def test_another_computation_is_not_reused(reusing: LocalVolume):
    """Another seed is another computation."""
    reusing.spec["workflow"]["seed"] = 8
    reusing.run("other")
    assert TRAINING in reusing.log(run_id="other")
    assert reusing.metadata("other")["identical_to"] is None
    assert "run first" not in reusing.result("other")["message"]


def test_signals_that_differ_are_reported(reusing: LocalVolume):
    """A user must not overlook that a run cannot be reproduced."""
    path = reusing.folder("first") / "RUN_METADATA.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "signals_sha256": "0" * 64}))
    done = reusing.run("second")
    assert "warning: NOT REPRODUCED: the run first asked the same of the same data" in done.stderr
    assert reusing.metadata("second")["identical_signals"] is False
    assert "NOT REPRODUCED: the identical run first has other signals" in reusing.result("second")["message"]
    assert reusing.faults("second") == []


@pytest.mark.parametrize(("commit", "known"), [("0" * 40, True), ("0" * 40 + "-dirty", False)])
def test_uncommitted_code_is_never_reused(commit: str, known: bool):  # noqa: FBT001
    """Two changed checkouts of one commit may differ in anything."""
    assert code_is_known({"git_commit": commit}) is known


def rewrite(name: str, **changes: object) -> Damage:
    """Change a document of a run."""

    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return damage


def corrupt(pattern: str) -> Damage:
    """Add a byte to a file."""

    def damage(folder: Path) -> None:
        [path] = folder.glob(pattern)
        path.write_bytes(path.read_bytes() + b"\0")

    return damage


UNUSABLE: dict[str, tuple[Damage, str]] = {
    "predictions that changed": (
        corrupt("mlruns/*/*/artifacts/pred.pkl"),
        "pred.pkl is not what was written",
    ),
    "a metric that changed": (corrupt("mlruns/*/*/metrics/IC"), "metrics/IC is not what was written"),
    "signals that changed": (
        corrupt("signals_ranked.parquet"),
        "ranked.parquet is not what was written",
    ),
    "signals that are gone": (
        lambda folder: (folder / "signals_ranked.parquet").unlink(),
        "signals_ranked.parquet is missing",
    ),
    "a table that changed": (corrupt("tables/ic.parquet"), "ic.parquet is not what was written"),
    "no record of the training": (
        lambda folder: (folder / "results/trained.json").unlink(),
        "does not say what it trained",
    ),
    "no MLflow run": (lambda folder: shutil.rmtree(folder / "mlruns"), "has no finished run"),
    "metadata without outputs": (rewrite("RUN_METADATA.json", outputs=None), "names no files"),
    "a run whose training failed": (
        rewrite("RUN_METADATA.json", status="failed", stages={"qrun": {"exit_code": 1}}),
        "",
    ),
    "a run that has not trained yet": (
        rewrite("RUN_METADATA.json", status="running", stages={"qrun": {}}),
        "",
    ),
    "another computation": (rewrite("RUN_METADATA.json", computation="0" * 64), ""),
    "a folder that was renamed": (rewrite("RUN_METADATA.json", run_id="elsewhere"), ""),
    "metadata that cannot be read": (corrupt("RUN_METADATA.json"), ""),
}


@pytest.mark.parametrize(("damage", "sentence"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_damaged_run_is_not_reused(
    volume: LocalVolume, capsys: pytest.CaptureFixture[str], damage: Damage, sentence: str
):
    """Damaged files are named; an unfinished run is no candidate."""
    asked = str(volume.metadata("first")["computation"])
    mine = volume.folder("mine")
    mine.mkdir()
    found = find_identical_run(mine, asked)
    assert found is not None
    damage(found.folder)
    capsys.readouterr()
    assert find_identical_run(mine, asked) is None
    told = capsys.readouterr().err
    assert sentence in told
    assert bool(told) == bool(sentence)


def forge(volume: LocalVolume, run_id: str, damage: Damage) -> None:
    """Leave a run that seems to have finished the same computation before all others."""
    folder = volume.folder(run_id)
    shutil.copytree(volume.folder("first"), folder, symlinks=True)
    rewrite("RUN_METADATA.json", run_id=run_id, finished_at_utc="2000-01-01T00:00:00Z")(folder)
    [experiment] = folder.glob("mlruns/*/meta.yaml")
    experiment.write_text(experiment.read_text().replace("name: first", f"name: {run_id}"))
    damage(folder)


def listing(name: str, content: bytes | None = None) -> Damage:
    """List a file of any name as part of the training, with its hash if it has content."""

    def damage(folder: Path) -> None:
        path = folder / "results/trained.json"
        document = json.loads(path.read_bytes())
        [recorded] = folder.glob("mlruns/*/*/meta.yaml")
        if content is not None:
            (recorded.parent / name).write_bytes(content)
        files = {**document["files"], name: hashlib.sha256(content or b"").hexdigest()}
        path.write_text(json.dumps({**document, "files": files}))

    return damage


def linked(pattern: str) -> Damage:
    """Put a link to the same file outside in the place of a file."""

    def damage(folder: Path) -> None:
        [path] = folder.glob(pattern)
        outside = path.rename(folder.parents[4] / f"outside-{folder.name}-{path.name}")
        path.symlink_to(outside)

    return damage


def replaced(pattern: str, way: str) -> Damage:
    """Put something else in the place of a file."""

    def damage(folder: Path) -> None:
        [path] = folder.glob(pattern)
        replace(path, way)

    return damage


def appended(pattern: str, text: str) -> Damage:
    """Add lines to a record of MLflow."""

    def damage(folder: Path) -> None:
        [path] = folder.glob(pattern)
        path.write_text(path.read_text() + text)

    return damage


FORGED: dict[str, tuple[Damage, str]] = {
    "a name that climbs out": (listing("../" * 7 + "climbed", b"x"), "it leads out of the folder"),
    "an absolute name": (listing("/etc/hostname"), "it leads out of the folder"),
    "a name with a line break": (listing("a\nb"), "it holds a control character"),
    "a link to the predictions": (linked("mlruns/*/*/artifacts/pred.pkl"), "pred.pkl is a link"),
    "a link to the artifacts": (linked("mlruns/*/*/artifacts"), "artifacts is a link"),
    "a link to the store": (linked("mlruns"), "mlruns is a link"),
    "a FIFO for a record": (replaced("mlruns/*/*/meta.yaml", "FIFO"), "meta.yaml is a FIFO"),
    "a FIFO for the listing": (replaced("results/trained.json", "FIFO"), "trained.json is a FIFO"),
    "predictions of 200 GiB": (replaced("mlruns/*/*/artifacts/pred.pkl", "sparse"), "has 200.0 GiB"),
    "another's name in reused_from": (rewrite("results/trained.json", reused_from="../x"), "names no run"),
    "a hidden address": (
        appended("mlruns/*/*/meta.yaml", '"artifact_uri": file:///etc\n'),
        "is not a record",
    ),
}


@pytest.mark.timeout(120)
def test_forged_runs_are_not_reused(volume: LocalVolume, capsys: pytest.CaptureFixture[str]):
    """Nothing is read through a link or outside of their folders, and nothing is written beside ours."""
    asked = str(volume.metadata("first")["computation"])
    for number, (damage, _) in enumerate(FORGED.values()):
        forge(volume, f"forged-{number}", damage)
    shutil.rmtree(volume.folder("first"))
    for name in ("mlruns", "results"):
        (volume.folder("mine") / name).mkdir(parents=True)
    before = set(volume.home.iterdir())
    found = find_identical_run(volume.folder("mine"), asked)
    if found is not None:
        copy_training(found, volume.folder("mine"))  # so that what it would write is seen
    told = capsys.readouterr().err
    assert set(volume.home.iterdir()) == before
    assert found is None
    assert [sentence for _, sentence in FORGED.values() if sentence not in told] == []
    assert list((volume.folder("mine") / "mlruns").iterdir()) == []


PLACES = ("RUN_METADATA.json", "metrics.json", "workflow.yaml", ".owner.json", ".attempt.json")


@pytest.mark.timeout(300)
def test_a_run_beside_forged_and_damaged_folders_is_golden(
    reusing: LocalVolume, capsys: pytest.CaptureFixture[str]
):
    """It reuses the run that is whole; every list has a row for each of them."""
    for number, (damage, _) in enumerate(FORGED.values()):
        forge(reusing, f"forged-{number}", damage)
    for number, place in enumerate(PLACES):
        forge(reusing, f"damaged-{number}", rewrite("RUN_METADATA.json", computation="0" * 64))
        replace(reusing.folder(f"damaged-{number}") / place, "FIFO")
    beside = {*reusing.home.iterdir(), reusing.home / "termination-log", reusing.home / "work"}
    done = reusing.run("second")
    assert reusing.metadata("second")["reused_from"] == "first"
    assert reusing.faults("second") == []
    assert done.stderr.count("is identical but cannot be used: ") >= len(FORGED)
    assert set(reusing.home.iterdir()) <= beside
    ids = {path.name for path in reusing.folder("second").parent.iterdir()} - {"catalog", "cache"}
    assert len(ids) == len(FORGED) + len(PLACES) + 2
    data = ["--data", str(reusing.mount)]
    rows = {"runId": ["runs"], "run_id": ["query", "select run_id from runs"]}
    for key, words in rows.items():
        assert main([*words, "--json", *data]) == 0
        assert {row[key] for row in json.loads(capsys.readouterr().out)} == ids
    page = str(reusing.home / "page.html")
    for words in (
        *(["compare", "first", "second", "--output", page], ["report", "second"], ["verify", "second"]),
        *(["followup"], ["show", "second"], ["prune", "--keep", "99", "--dry-run"]),
    ):
        assert main([*words, *data]) == 0


@pytest.mark.parametrize("when", ["before it is copied", "while it is copied"])
def test_a_run_that_is_removed_while_it_is_copied_is_trained_again(
    volume: LocalVolume, capsys: pytest.CaptureFixture[str], when: str
):
    """It was there when it was found; nothing is left of the attempt."""
    mine = volume.folder("mine")
    (mine / "mlruns").mkdir(parents=True)
    identical = find_identical_run(mine, str(volume.metadata("first")["computation"]))
    assert identical is not None
    if when == "before it is copied":
        shutil.rmtree(identical.folder)
    else:
        (identical.recorded.artifacts / "pred.pkl").write_bytes(b"")
    assert copy_training(identical, mine) is None
    assert capsys.readouterr().err.startswith("warning: the run first went away while it was copied: ")
    assert list((mine / "mlruns").iterdir()) == []
    assert Trained.read(mine) is None


def test_a_run_that_is_removed_after_it_was_copied_is_reused(
    volume: LocalVolume, monkeypatch: pytest.MonkeyPatch
):
    """Nothing of it is needed any more, not even what its experiment says."""
    mine = volume.folder("mine")
    for name in ("mlruns", "results"):
        (mine / name).mkdir(parents=True)
    identical = find_identical_run(mine, str(volume.metadata("first")["computation"]))
    assert identical is not None

    def prune(point: ReusePoint) -> None:
        if point is ReusePoint.COPIED:
            shutil.rmtree(identical.folder)

    monkeypatch.setattr(reuse, "fault_point", prune)
    recorded = copy_training(identical, mine)
    assert not identical.folder.exists()
    trained = Trained.read(mine)
    assert trained is not None
    assert recorded == trained.recorded_in(mine, "mine")
    assert trained.reused_from == "first"


def test_a_retry_completes_a_reuse_that_was_killed(reusing: LocalVolume):
    """At every point, one after another; it is still the same run that did the work."""
    reusing.stage("download", "second")
    for point in ReusePoint:
        assert reusing.stop_at(point, "second").returncode == -signal.SIGKILL
        assert reusing.outputs("second") == {}
    done = reusing.stage("qrun", "second")
    assert done.returncode == 0, done.stdout + done.stderr
    assert TRAINING not in reusing.log(run_id="second")
    assert reusing.metadata("second")["reused_from"] == "first"
    assert reusing.faults("second") == []


def test_a_run_that_is_damaged_after_a_kill_is_trained_again(reusing: LocalVolume):
    """The copy is there, but it is not recorded that it is complete."""
    reusing.stage("download", "second")
    reusing.stop_at(ReusePoint.PLACED, "second")
    corrupt("mlruns/*/*/artifacts/pred.pkl")(reusing.folder("first"))
    done = reusing.stage("qrun", "second")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning: the run first is identical but cannot be used: " in done.stderr
    assert TRAINING in done.stdout
    assert reusing.metadata("second")["reused_from"] is None
    assert reusing.faults("second") == []
    assert {run.status for run in recorded_runs(reusing.folder("second") / "mlruns")} == {RunStatus.FINISHED}


def test_identical_runs_at_the_same_time_do_not_interfere(first: LocalVolume, tmp_path: Path):
    """None has finished when the others begin: each trains, and all outputs are equal."""
    volume = LocalVolume(tmp_path)
    volume.spec["reuse"] = "IfIdentical"
    shutil.copytree(first.mount / "qlib", volume.mount / "qlib", symlinks=True)
    names = ("one", "two")
    for name in names:
        assert volume.stage("download", name).returncode == 0
    together = [volume.start([*RUNNER, "qrun"], name) for name in names]
    for process in together:
        output, errors = process.communicate()
        assert process.returncode == 0, output + errors
    hashes = {volume.metadata(name)["signals_sha256"] for name in names}
    assert hashes == {first.metadata("first")["signals_sha256"]}
    assert [volume.faults(name) for name in names] == [[], []]


def test_a_damaged_checkpoint_is_made_again(first: LocalVolume, volume: LocalVolume):
    """The damage is reported, and the outputs are those of an undisturbed run."""
    shutil.rmtree(volume.folder("first"))
    assert volume.stage("download", "first").returncode == 0
    assert volume.stop_at(QrunPoint.ANALYSIS_KEPT, "first").returncode == -signal.SIGKILL
    corrupt(".checkpoints/*/model/model.txt")(volume.folder("first"))
    corrupt(".checkpoints/*/prediction/pred.pkl")(volume.folder("first"))
    done = volume.stage("qrun", "first")
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("model", "prediction"):
        assert f"warning: the checkpoint of the {step} cannot be used: " in done.stderr
    assert "analysis: taken from the checkpoint of " in done.stdout
    assert volume.outputs("first") == first.outputs("first")
    assert volume.faults("first") == []


def test_a_damaged_training_is_repeated(volume: LocalVolume, first: LocalVolume):
    """By another attempt, which finds files that are not what was recorded."""
    corrupt("mlruns/*/*/artifacts/label.pkl")(volume.folder("first"))
    done = volume.stage("qrun", "first")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning: what an earlier attempt trained cannot be used: " in done.stderr
    assert TRAINING in done.stdout
    assert volume.outputs("first") == first.outputs("first")
    told = [one.metadata("first")["features"] for one in (first, volume)]
    assert [one["attempt"] for one in told] == [1, 2]
    assert [one["cache"] for one in told] == ["kept for other runs", "taken from the cache"]


def test_plain_qrun_has_equal_outputs(first: LocalVolume, tmp_path: Path):
    """Without the stage, the run folder or checkpoints: Qlib's own command on the same file."""
    environ = {
        **{name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "OPENBLAS_"))},
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    qrun = [sys.executable, str(Path(sys.executable).with_name("qrun"))]
    command = [*qrun, str(first.folder("first") / "workflow.yaml")]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [pred] = tmp_path.glob("mlruns/*/*/artifacts/pred.pkl")
    [recorded] = first.folder("first").glob("mlruns/*/*/artifacts/pred.pkl")
    assert pred.read_bytes() == recorded.read_bytes()
    assert not list(tmp_path.rglob(".checkpoints"))


def poison(folder: Path) -> None:
    """Leave a pickle that crashes who restores it, with the hash that a reader expects of it."""
    [path] = folder.glob("mlruns/*/*/artifacts/portfolio_analysis/report_normal_1day.pkl")
    path.write_bytes(of_addresses(pd.read_pickle(path)))
    trained = Trained.read(folder)
    assert trained is not None
    recorded = finished_run(folder / "mlruns", folder.name)
    assert recorded is not None
    Trained.of(recorded, trained.computation).write(folder)


def test_a_poisoned_run_does_no_harm_to_a_run_that_reuses_it(reusing: LocalVolume):
    """It warns, trains itself, and keeps nothing of the other."""
    poison(reusing.folder("first"))
    done = reusing.run("second")
    assert "warning: what was taken over from the run first cannot be used: " in done.stderr
    assert "report_normal_1day.pkl cannot be read (" in done.stderr
    assert TRAINING in done.stdout
    assert reusing.metadata("second")["reused_from"] is None
    assert reusing.faults("second") == []
    assert len(list(recorded_runs(reusing.folder("second") / "mlruns"))) == 1

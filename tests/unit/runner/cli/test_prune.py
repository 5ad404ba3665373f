"""`qlib-shadow prune`: removes what the criteria select, keeps what is needed, and survives a crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.ledger.sample_book import write_book

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.cli import prune as prune_command
from qlib_shadow_runner.cli.prune import Criteria, prune
from qlib_shadow_runner.cli.versions import find_datasets
from qlib_shadow_runner.contract import ARTIFACTS
from qlib_shadow_runner.crash_points import ENV_FAULT
from qlib_shadow_runner.dataset.manifest import DatasetManifest, manifest_path
from qlib_shadow_runner.storage.drafts import draft_of
from qlib_shadow_runner.storage.files import write_json
from qlib_shadow_runner.storage.lock import locked
from qlib_shadow_runner.storage.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SIZE = 1 << 20


def make_run(data: Path, run_id: str, *, age: float = 1, status: str = "complete", **more: object) -> Path:
    """Write a run of about a mebibyte that started some days ago."""
    folder = data / ARTIFACTS / run_id
    folder.mkdir(parents=True)
    started = (NOW - timedelta(days=age)).isoformat()
    metadata = {"run_id": run_id, "status": status, "started_at_utc": started, **more}
    write_json(folder / "RUN_METADATA.json", metadata)
    (folder / "signals.parquet").write_bytes(bytes(SIZE))
    return folder


def make_version(data: Path, digit: str, *, source: str = "synthetic seed=7", name: str = "us") -> Path:
    """Write a published dataset version."""
    folder = data / "qlib" / f"{name}@{digit * 12}"
    (folder / "calendars").mkdir(parents=True)
    (folder / "calendars" / "day.txt").write_text("2020-01-01\n")
    DatasetManifest(
        source=source,
        synthetic=True,
        fingerprint=digit * 64,
        calendar_start="2020-01-01",
        calendar_end="2020-01-01",
        days=1,
        instruments=1,
        universes={},
        rows=1,
        files=1,
        size=11,
        stamp="",
        created_utc=NOW.isoformat(),
    ).write(manifest_path(folder))
    return folder


def runs_left(data: Path) -> set[str]:
    """Return the names of everything among the run folders."""
    return {path.name for path in (data / ARTIFACTS).iterdir()}


def names(folder: Path) -> set[str]:
    """Return the names of what is in a folder, except the lock."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


CHOICES = {
    "keep alone": (Criteria(keep=2), {"d1", "d2"}),
    "keep nothing": (Criteria(keep=0), set()),
    "age": (Criteria(older_than=timedelta(days=3.5)), {"d1", "d2", "d3"}),
    "age, but keep": (Criteria(keep=4, older_than=timedelta(days=1.5)), {"d1", "d2", "d3", "d4"}),
    "size": (Criteria(max_size=int(2.5 * SIZE)), {"d1", "d2"}),
    "size, but keep": (Criteria(keep=3, max_size=0), {"d1", "d2", "d3"}),
    "size that all have": (Criteria(max_size=100 * SIZE), {"d1", "d2", "d3", "d4", "d5"}),
    "age and size": (Criteria(older_than=timedelta(days=4.5), max_size=int(3.5 * SIZE)), {"d1", "d2", "d3"}),
}


@pytest.mark.parametrize(("criteria", "left"), CHOICES.values(), ids=CHOICES)
def test_oldest_run_folders_are_removed_first(tmp_path: Path, criteria: Criteria, left: set[str]):
    """By number, age and size."""
    for day in range(1, 6):
        make_run(tmp_path, f"d{day}", age=day)
    assert prune(tmp_path, criteria, NOW, datasets=False, run_folders=True) == 0
    assert runs_left(tmp_path) == left


def test_running_runs_and_other_files_are_kept(tmp_path: Path):
    """With any criteria; links out of the volume are not followed."""
    outside = make_run(tmp_path / "other", "outside", age=900)
    root = make_run(tmp_path, "gone", age=900).parent
    make_run(tmp_path, "busy", age=900, status="running")
    make_run(tmp_path, "odd", age=900, status="something new")
    (root / "outside").symlink_to(outside)
    (root / "notes.txt").write_text("mine")
    (root / "mine").mkdir()
    (root / "copy").mkdir()
    (root / "copy" / "RUN_METADATA.json").write_text('{"run_id": "another", "status": "complete"}')
    assert prune(tmp_path, Criteria(keep=0), NOW, datasets=False, run_folders=True) == 0
    assert runs_left(tmp_path) == {"busy", "odd", "outside", "notes.txt", "mine", "copy"}
    assert (outside / "RUN_METADATA.json").is_file()


def test_unused_versions_are_removed_and_used_ones_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Used by a link or by a running run; a user's own folders are not versions."""
    named, used, unused = (make_version(tmp_path, digit) for digit in "abc")
    home = named.parent
    (home / "us").symlink_to(named.name)
    make_version(tmp_path, "d", source="existing")
    manifest_path(make_version(tmp_path, "e")).unlink()
    (home / "plain" / "calendars").mkdir(parents=True)
    before = names(home)
    make_run(tmp_path, "busy", status="running", dataset_resolved_path=f"/data/qlib/{used.name}")
    make_run(tmp_path, "done", dataset_resolved_path=f"/data/qlib/{unused.name}")
    assert main(["prune", "--datasets", "--data", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [item["path"] for item in report["removed"]] == [str(unused)]
    assert {item["path"]: item["why"] for item in report["kept"]} == {
        str(named): "us points at it",
        str(used): "run busy uses it",
    }
    assert before - names(home) == {unused.name, manifest_path(unused).name}
    assert runs_left(tmp_path) == {"busy", "done"}


def test_empty_folder_of_a_missing_version_is_removed(tmp_path: Path):
    """The kubelet creates it where a pod mounts a version that does not exist."""
    version = make_version(tmp_path, "a")
    empty = version.with_name("us@" + "b" * 12)
    empty.mkdir()
    (version.with_name("us")).symlink_to(version.name)
    assert prune(tmp_path, Criteria(), NOW, datasets=True, run_folders=False) == 0
    assert names(version.parent) == {"us", version.name, manifest_path(version).name}


def test_run_that_has_recorded_no_version_keeps_all_versions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """It may be about to use any of them."""
    version = make_version(tmp_path, "a")
    make_run(tmp_path, "early", status="running")
    assert main(["prune", "--datasets", "--data", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "run early has not recorded yet which version it uses" in output
    assert output.endswith("0 removed, 0 B\n")
    assert version.is_dir()


STOPPED: dict[str, dict[str, object]] = {
    "told to stop": {"status": "interrupted", "reason": "Interrupted"},
    "out of memory": {"status": "failed", "reason": "OutOfMemory"},
    "a failure that may be the node's": {"status": "failed", "reason": "TrainingFailed"},
    "a reason of a later release": {"status": "failed", "reason": "SomethingNew"},
}
OVER: dict[str, dict[str, object]] = {
    "done": {"status": "complete", "reason": "Succeeded"},
    "asked for a dataset only": {"status": "downloaded", "reason": "Succeeded"},
    "a wrong spec": {"status": "failed", "reason": "InvalidSpec"},
    "wrong data": {"status": "failed", "reason": "DatasetTooShort"},
    "a broken promise": {"status": "failed", "reason": "ShadowPromiseBroken"},
}


@pytest.mark.parametrize("namespace", ["prod", "local"])
@pytest.mark.parametrize(
    ("ended", "days", "stays"),
    [
        *((ended, days, days < 7) for ended in STOPPED.values() for days in (0.5, 6.9, 7.1)),
        *((ended, 0.5, False) for ended in OVER.values()),
    ],
)
def test_run_that_may_continue_keeps_folder_and_dataset_for_a_week(
    *, tmp_path: Path, ended: dict[str, object], days: float, stays: bool, namespace: str
):
    """Such as a suspended or evicted run; a run that is never tried again has ended."""
    version = make_version(tmp_path, "a")
    finished = (NOW - timedelta(days=days)).isoformat()
    more = {"finished_at_utc": finished, "dataset_resolved_path": f"/data/qlib/{version.name}"}
    make_run(tmp_path, "run", age=90, namespace=namespace, **more, **ended)  # type: ignore[arg-type]
    size = Criteria(max_size=0, older_than=timedelta(days=30))
    assert prune(tmp_path, size, NOW, datasets=True, run_folders=True) == 0
    assert (runs_left(tmp_path), version.is_dir()) == ({"run"} if stays else set(), stays)


def test_run_that_stopped_before_it_recorded_a_version_keeps_none(tmp_path: Path):
    """When it continues, it selects from the versions that exist then."""
    version = make_version(tmp_path, "a")
    make_run(tmp_path, "early", status="interrupted", finished_at_utc=NOW.isoformat())
    assert prune(tmp_path, Criteria(), NOW, datasets=True, run_folders=False) == 0
    assert (version.is_dir(), runs_left(tmp_path)) == (False, {"early"})


def test_dry_run_prints_the_same_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """It does not even create a lock."""
    make_version(tmp_path, "a")
    make_run(tmp_path, "old", age=9)
    before = sorted(tmp_path.rglob("*"))
    words = ["prune", "--keep", "0", "--data", str(tmp_path)]
    assert main([*words, "--dry-run"]) == 0
    dry = capsys.readouterr().out.splitlines()
    assert sorted(tmp_path.rglob("*")) == before
    assert main(words) == 0
    wet = capsys.readouterr().out.splitlines()
    assert dry[:-1] == wet[:-1]
    assert (dry[-1], wet[-1]) == ("2 would be removed, 1.0 MiB", "2 removed, 1.0 MiB")
    assert (runs_left(tmp_path), names(tmp_path / "qlib")) == (set(), set())


def test_crash_leaves_no_partly_removed_run_or_version(tmp_path: Path):
    """What it leaves is neither a run nor a version, and the next prune removes it."""
    version = make_version(tmp_path, "a")
    make_run(tmp_path, "old", age=9)
    words = [sys.executable, "-m", "qlib_shadow_runner", "prune", "--data", str(tmp_path)]
    environ = {**os.environ, ENV_FAULT: "prune-renamed"}
    for choice in (["--run-folders", "--keep", "0"], ["--datasets"]):
        assert subprocess.run([*words, *choice], env=environ, check=False).returncode < 0
    assert not version.exists()
    [grave] = runs_left(tmp_path)
    assert grave.startswith(".old.removed-")
    assert find_datasets(Volume(tmp_path)).versions == []
    assert prune(tmp_path, Criteria(keep=0), NOW, datasets=True, run_folders=True) == 0
    assert (runs_left(tmp_path), names(version.parent)) == (set(), set())


def test_what_killed_processes_were_writing_is_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Of runs, the catalog and datasets, whatever else is kept; of living processes nothing."""
    run, root, qlib = make_run(tmp_path, "kept"), tmp_path / ARTIFACTS, tmp_path / "qlib"
    begun, staging = root / "begun" / "results", qlib / ".us.staging-12ab34cd"
    for folder in (root / "catalog", root / "my", begun, run / "mlruns" / "1", run / ".attempts", staging):
        folder.mkdir(parents=True)
    left = [
        run / ".RUN_METADATA.json.0123abcd.tmp",
        run / "mlruns" / "1" / ".meta.yaml.0123abcd.tmp",
        begun.parent / "..owner.json.0123abcd.tmp",
        root / "catalog" / ".runs.parquet.0123abcd.tmp",
        qlib / ".us@0123.manifest.json.0123abcd.tmp",
        qlib / ".us.download-0123456789abcdef",
        qlib / ".us.download-0123456789abcdef.json",
        staging / "features",
    ]
    kept = [
        qlib / ".us.download-fedcba9876543210",
        qlib / ".notes.staging-12ab34cd",
        root / "my" / ".a.0123abcd.tmp",
    ]
    for path in (*left, *kept, run / ".attempt.json", qlib / ".us.lock"):
        path.touch()
    for path in left[5:7]:
        os.utime(path, (0, 0))
    (run / ".attempts" / "0123").symlink_to("..")
    (qlib / ".us.link-0123abcd").symlink_to("us@0123")
    words = ["prune", "--keep", "5", "--data", str(tmp_path)]
    with draft_of(run / "report.html") as (draft, _):
        assert main([*words, "--dry-run"]) == 0
        dry = capsys.readouterr().out.splitlines()
        assert all(path.exists() for path in (*left, *kept))
        assert main(words) == 0
        assert draft.exists()
    assert dry[:-1] == capsys.readouterr().out.splitlines()[:-1]
    assert len(dry) == 1 + len(left) + 2
    assert [path for path in left if path.exists()] == []
    assert all(path.exists() for path in kept)
    assert list((run / ".attempts").iterdir()) == []
    assert names(qlib) == {path.name for path in kept[:2]}


def test_dataset_that_is_being_built_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """The builder may be about to link the name to an existing version."""
    version = make_version(tmp_path, "a")
    monkeypatch.setattr(prune_command, "LOCK_TIMEOUT", 0.0)
    with locked(version.with_name("us")):
        assert main(["prune", "--datasets", "--data", str(tmp_path), "--json"]) == 13
    output = capsys.readouterr()
    printed = json.loads(output.out)
    assert (printed["removed"], printed["reason"], printed["exitCode"], output.err) == (
        [],
        "DatasetLocked",
        13,
        "",
    )
    assert version.is_dir()


FAULTS = {
    "no criterion": ([], "say which run folders may go, with --keep, --older-than or --max-size"),
    "no criterion for run folders": (["--run-folders"], "say which run folders may go"),
    "a contradiction": (["--datasets", "--keep", "3"], "choose run folders; leave them out"),
    "no number": (["--keep", "few"], '--keep must be a whole number from 0 on, not "few"'),
    "less than nothing": (["--keep=-1"], '--keep must be a whole number from 0 on, not "-1"'),
    "no days": (["--older-than", "week"], '--older-than must be a number of days from 0 on, not "week"'),
    "no size": (["--max-size", "10X"], '--max-size must be a size such as 500M or 10G, not "10X"'),
    "not even a size": (["--max-size", "nan"], "--max-size must be a size"),
}


@pytest.mark.parametrize(("words", "sentence"), FAULTS.values(), ids=FAULTS)
def test_wrong_criterion_is_one_sentence_and_exit_code_10(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
):
    """Nothing is removed."""
    make_run(tmp_path, "old", age=900)
    assert main(["prune", "--data", str(tmp_path), *words]) == 10
    output = capsys.readouterr().err
    assert output.startswith("qlib-shadow: InvalidSpec: ")
    assert sentence in output
    assert output.count("\n") == 1
    assert runs_left(tmp_path) == {"old"}


def test_missing_data_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """It is named, and not created."""
    assert main(["prune", "--keep", "1", "--data", str(tmp_path / "none")]) == 10
    assert "none is not a folder; name the data folder" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("text", "left"), [("1.5M", {"new"}), ("3MiB", {"new", "old"}), ("0", set()), ("1500k", {"new"})]
)
def test_sizes_may_have_units(tmp_path: Path, text: str, left: set[str]):
    """Powers of 1024, with letters in either case."""
    make_run(tmp_path, "new", age=1)
    make_run(tmp_path, "old", age=2)
    assert main(["prune", "--run-folders", "--data", str(tmp_path), "--max-size", text]) == 0
    assert runs_left(tmp_path) == left


def test_books_are_never_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Whatever is asked for, and even where their folder, or that of one, says that it is a run."""
    book = write_book(tmp_path / ARTIFACTS / "ledgers", nights=3)
    for folder in (book.folder.parent, book.folder):
        metadata = {"run_id": folder.name, "status": "complete", "started_at_utc": "2020-01-01T00:00:00Z"}
        write_json(folder / "RUN_METADATA.json", metadata)
    make_run(tmp_path, "a", age=1)
    before = sorted(path for path in book.folder.parent.rglob("*"))
    for options in (("--keep", "0"), ("--older-than", "0"), ("--max-size", "0")):
        assert main(["prune", *options, "--data", str(tmp_path)]) == 0
    assert "ledgers" not in capsys.readouterr().out
    assert runs_left(tmp_path) == {"ledgers"}
    assert sorted(path for path in book.folder.parent.rglob("*")) == before
    assert main(["runs", "--data", str(tmp_path)]) == 0
    assert "ledgers" not in capsys.readouterr().out.replace(str(tmp_path), "")

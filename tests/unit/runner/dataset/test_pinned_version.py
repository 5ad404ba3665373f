"""A run that names a dataset version needs no download and fails with a remedy where it is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from local_stages import LocalVolume
from qlib_shadow_runner.catalog.rows import row_of
from qlib_shadow_runner.cli.prune import Criteria, prune
from qlib_shadow_runner.dataset.manifest import manifest_path
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.runs.listing import ListedRun
from qlib_shadow_runner.ui.details import details
from qlib_shadow_runner.verify import verify_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.runner.conftest import MakeDataset

UNKNOWN = "0" * 12
MADE = {"source": {"synthetic": {"symbols": 10, "days": 260}}}
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> LocalVolume:
    """Run once on a volume that no test changes."""
    volume = LocalVolume(tmp_path_factory.mktemp("first"))
    volume.run("first")
    return volume


@pytest.fixture
def volume(first: LocalVolume, tmp_path: Path) -> LocalVolume:
    """Return a copy of it, for runs that name its version and take over what is identical."""
    shutil.copytree(first.mount, tmp_path / "data", symlinks=True)
    found = LocalVolume(tmp_path)
    found.spec |= {"dataset": {"version": fingerprint(found)}, "reuse": "IfIdentical"}
    return found


@pytest.fixture
def downloaded(tmp_path: Path) -> LocalVolume:
    """Return a volume with a version that no run was trained on."""
    found = LocalVolume(tmp_path)
    assert found.stage("download", "first").returncode == 0
    return found


def fingerprint(volume: LocalVolume) -> str:
    """Return what the first run says of its data."""
    return str(volume.metadata("first")["dataset_fingerprint"])


def version(volume: LocalVolume) -> Path:
    """Return the folder of the version."""
    home: Path = volume.mount / "qlib/qlib_data"
    return home / f"us_data_1d@{fingerprint(volume)[:12]}"


def command(volume: LocalVolume, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Call qlib-shadow with the spec as a manifest."""
    head = {"apiVersion": "qlibshadow.io/v1alpha1", "kind": "QlibShadowRun", "metadata": {"name": "mine"}}
    file = volume.home / "run.yaml"
    file.write_text(yaml.safe_dump({**head, "spec": volume.spec}))
    line = [sys.executable, "-m", "qlib_shadow_runner", *map(str, words), str(file)]
    environ = {**os.environ, "QLIB_SHADOW_DATA": str(volume.mount), "QLIB_SHADOW_GIT_COMMIT": "0" * 40}
    return subprocess.run(line, env=environ, capture_output=True, text=True, check=False)


def test_pinned_run_needs_no_download_and_is_identical(volume: LocalVolume):
    """Source, quality and days come from the version's manifest; the earlier run's training is its own."""
    done = volume.stage("qrun", "second")
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = volume.metadata("first"), volume.metadata("second")
    assert list(after["stages"]) == ["qrun"]
    names = {name for name in before if name.startswith("dataset_")} | {"config_hash", "computation"}
    assert {name: after[name] for name in names} == {name: before[name] for name in names}
    assert after["reused_from"] == "first"
    assert volume.faults("second") == []
    [line] = [one for one in verify_run(volume.folder("second"), volume.mount) if one.name == "stages"]
    assert line.detail == "qrun"
    reported = volume.result("second")["dataset"]
    assert reported == volume._document("first", "results/download.json")["dataset"]
    assert "fingerprint " + fingerprint(volume)[:12] in volume.log(run_id="second")


def test_command_line_runs_and_shows_a_pinned_run(volume: LocalVolume):
    """Its one stage, and all that a run leaves."""
    done = command(volume, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    stages = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert "qrun" in stages
    assert "download" not in stages
    assert "golden run: PASS" in done.stdout
    run_id = done.stdout.split()[0]
    shown = json.loads(command_about(volume, "show", run_id, "--json").stdout)
    assert list(shown["messages"]) == ["qrun"]
    assert shown["metrics"]["ic"] == volume.result("first")["metrics"]["ic"]
    listed = json.loads(command_about(volume, "runs", "--json").stdout)
    assert {run["ic"] for run in listed} == {shown["metrics"]["ic"]}
    run = ListedRun.at(volume.folder(run_id))
    assert run is not None
    assert [(line.name, line.state) for line in details(run, NOW).stages] == [("qrun", "complete")]
    row, other = row_of(run), row_of(ListedRun(volume.folder("first"), volume.metadata("first")))
    same = {"dataset_source", "dataset_fingerprint", "dataset_end", "quality", "config_hash", "ic"}
    assert {name: row[name] for name in same} == {name: other[name] for name in same}


def command_about(volume: LocalVolume, *words: str) -> subprocess.CompletedProcess[str]:
    """Call qlib-shadow about the volume."""
    line = [sys.executable, "-m", "qlib_shadow_runner", *words, "--data", str(volume.mount)]
    return subprocess.run(line, capture_output=True, text=True, check=True)


def test_validate_render_and_download_accept_a_version(downloaded: LocalVolume):
    """The file that qrun would be given is that of the run with the source."""
    rendered = json.loads(command(downloaded, "render", "--json").stdout)
    downloaded.spec["dataset"] = {"version": fingerprint(downloaded)[:12]}
    assert command(downloaded, "validate").returncode == 0
    assert json.loads(command(downloaded, "render", "--json").stdout) == rendered
    said = command(downloaded, "download")
    assert (said.returncode, said.stdout) == (
        0,
        f"there is nothing to download: spec.dataset.version names {version(downloaded)}, which is there\n",
    )
    reported = json.loads(command(downloaded, "download", "--json").stdout)
    assert (reported["reason"], reported["exitCode"]) == ("Succeeded", 0)
    downloaded.spec["dataset"] = {"version": UNKNOWN}
    missing = command(downloaded, "download")
    assert (missing.returncode, missing.stderr[:28]) == (11, "qlib-shadow: DatasetMissing:")


def test_missing_version_error_lists_existing_versions(downloaded: LocalVolume):
    """And how to get one."""
    end = downloaded.metadata("first")["dataset_end"]
    downloaded.spec["dataset"] = {"version": UNKNOWN}
    done = downloaded.stage("qrun", "second")
    assert (done.returncode, downloaded.result("second")["reason"]) == (11, "DatasetMissing")
    assert downloaded.result("second")["message"] == (
        f"there is no version {UNKNOWN} of the dataset at {downloaded.mount}/qlib/qlib_data/us_data_1d; "
        f"its versions are {fingerprint(downloaded)[:12]} (to {end}). Correct spec.dataset.version, or run "
        "once with spec.dataset.source instead, which makes a version."
    )


def test_dataset_without_versions_is_reported(tmp_path: Path, make_dataset: MakeDataset):
    """One that a user put there has none, and is used by its name."""
    volume = LocalVolume(tmp_path)
    volume.spec["dataset"] = {"version": UNKNOWN}
    assert volume.stage("qrun", "none").returncode == 11
    assert "us_data_1d; it has none. Correct" in volume.result("none")["message"]
    make_dataset(folder=volume.mount / "qlib/qlib_data/us_data_1d")
    assert volume.stage("qrun", "own").returncode == 11
    assert volume.result("own")["message"].endswith(
        "the folder there was not made by qlib-shadow and has no versions. Write source: {existing: {}} "
        "instead of version."
    )


def longer(folder: Path) -> None:
    """Append a day without verification."""
    with (folder / "calendars/day.txt").open("a") as calendar:
        calendar.write("2030-01-01\n")


def forget(folder: Path) -> None:
    """Remove the manifest of the version."""
    manifest_path(folder).unlink()


def empty(folder: Path) -> None:
    """Leave the version as the kubelet makes one that is not there."""
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize(
    ("damage", "reason", "words"),
    [
        (longer, "DatasetInvalid", "was changed after it was verified. Run once with spec.dataset.source"),
        (forget, "DatasetMissing", "it has none"),
        (empty, "DatasetMissing", "it has none"),
    ],
)
def test_changed_version_is_not_used_for_training(
    downloaded: LocalVolume, damage: Callable[[Path], None], reason: str, words: str
):
    """Each kind of change has its reason and sentence."""
    damage(version(downloaded))
    downloaded.spec["dataset"] = {"version": fingerprint(downloaded)}
    assert downloaded.stage("qrun", "second").returncode == 11
    reported = downloaded.result("second")
    assert (reported["reason"], words in reported["message"]) == (reason, True), reported["message"]


def test_empty_version_folder_is_replaced_by_a_build(downloaded: LocalVolume):
    """A run with the source makes the version in its place."""
    empty(version(downloaded))
    assert downloaded.stage("download", "second").returncode == 0
    assert Dataset(version(downloaded)).calendar


def test_stage_that_the_run_does_not_have_is_refused(downloaded: LocalVolume):
    """A download would use the current version instead."""
    downloaded.spec["dataset"] = {"version": fingerprint(downloaded)}
    done = downloaded.stage("download", "second")
    assert (done.returncode, done.stderr) == (
        10,
        "InvalidSpec: this run has no stage download; it has qrun\n",
    )


def test_data_of_another_region_is_refused(downloaded: LocalVolume):
    """As a run with a source is."""
    path = manifest_path(version(downloaded))
    path.write_text(json.dumps({**json.loads(path.read_text()), "claims": {"region": "cn"}}))
    downloaded.spec["dataset"] = {"version": fingerprint(downloaded)}
    assert downloaded.stage("qrun", "second").returncode == 10
    assert "is of the region cn" in downloaded.result("second")["message"]


def test_version_is_kept_while_an_unfinished_run_names_it(downloaded: LocalVolume):
    """From its first moment on, before it has looked at the data; then it may go."""
    folder, named = version(downloaded), downloaded.mount / "qlib/qlib_data/us_data_1d"
    named.unlink()
    downloaded.spec = {"dataset": {"version": fingerprint(downloaded)}, "workflow": {"seed": -1}}
    assert downloaded.stage("qrun", "second").returncode == 10
    run = ListedRun.at(downloaded.folder("second"))
    assert run is not None
    assert run.metadata["dataset_resolved_path"] == f"/data/qlib/qlib_data/{folder.name}"
    (downloaded.folder("first") / "RUN_METADATA.json").unlink()
    left = {"status": "interrupted", "reason": "Interrupted", "finished_at_utc": NOW.isoformat()}
    change(downloaded, left)
    assert prune(downloaded.mount, Criteria(), NOW, datasets=True, run_folders=False) == 0
    assert folder.is_dir()
    change(downloaded, {"finished_at_utc": (NOW - timedelta(days=8)).isoformat()})
    assert prune(downloaded.mount, Criteria(), NOW, datasets=True, run_folders=False) == 0
    assert not folder.exists()


def change(volume: LocalVolume, fields: dict[str, Any]) -> None:
    """Change what the second run's metadata say."""
    path = volume.folder("second") / "RUN_METADATA.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

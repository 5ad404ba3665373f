"""Symbolic links are followed inside the volume and refused where they leave it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from local_stages import LocalVolume
from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.manifest import manifest_path

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.runner.conftest import MakeDataset


@pytest.fixture
def volume(tmp_path: Path) -> LocalVolume:
    """Mount the volume by a link to another folder."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")
    return LocalVolume(tmp_path)


@pytest.fixture
def existing(volume: LocalVolume) -> LocalVolume:
    """Ask for the dataset that lies at /data/qlib/us."""
    volume.spec["dataset"] = {"path": "/data/qlib/us", "source": {"existing": {}}}
    (volume.mount / "qlib").mkdir()
    return volume


def test_volume_may_be_a_link(volume: LocalVolume):
    """The first, which builds, the second, which finds the version, and one that never downloaded."""
    for stage, run in (("download", "first"), ("download", "second"), ("qrun", "third")):
        done = volume.stage(stage, run)
        assert done.returncode == 0, done.stderr
    [version] = volume.mount.glob("qlib/qlib_data/us_data_1d@????????????")
    for run in ("first", "second", "third"):
        assert volume.metadata(run)["dataset_resolved_path"] == f"/data/qlib/qlib_data/{version.name}"


@pytest.mark.parametrize("target", ["us_2024", "../mine/us_2024"])
def test_link_inside_the_volume_is_followed(existing: LocalVolume, make_dataset: MakeDataset, target: str):
    """The run names the folder itself, so that it may be pointed elsewhere meanwhile."""
    link = existing.mount / "qlib" / "us"
    make_dataset(folder=link.parent / target)
    link.symlink_to(target)
    for _ in range(2):
        done = existing.stage("download")
        assert done.returncode == 0, done.stderr
    named = (link.parent / target).resolve().relative_to(existing.mount.resolve())
    assert existing.metadata()["dataset_resolved_path"] == f"/data/{named}"


def test_link_that_leaves_the_volume_is_refused(
    existing: LocalVolume, make_dataset: MakeDataset, tmp_path: Path
):
    """Before anything is read or written there: no pod would find it."""
    outside = make_dataset(folder=tmp_path / "home" / "us").folder
    (existing.mount / "qlib" / "us").symlink_to(outside)
    done = existing.stage("download")
    reported = json.loads((tmp_path / "termination-log").read_bytes())
    assert (done.returncode, reported["reason"]) == (10, Reason.INVALID_SPEC)
    assert reported["message"] == (
        f"a link leads to {outside}, which leaves the volume {existing.mount}. Put the data itself there."
    )
    assert not manifest_path(outside).exists()

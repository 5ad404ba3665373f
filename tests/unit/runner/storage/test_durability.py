"""A folder is synced before it is published, by one call where that is enough."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_runner.dataset.ensure import ensure
from qlib_shadow_runner.dataset.manifest import DatasetManifest
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.storage import durability
from qlib_shadow_runner.storage.durability import sync_tree

if TYPE_CHECKING:
    from tests.unit.runner.conftest import MakeDataset


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Record the files that are synced, and sync them."""
    paths: list[Path] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        paths.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))  # noqa: PTH115 - the kernel's name
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


def test_a_local_filesystem_is_synced_by_one_call(make_dataset: MakeDataset, synced: list[Path]):
    """However many files there are."""
    sync_tree(make_dataset(5).folder)
    assert synced == []


def test_a_network_filesystem_is_synced_file_by_file(
    make_dataset: MakeDataset, synced: list[Path], monkeypatch: pytest.MonkeyPatch
):
    """On a network filesystem, only fsync is sure to reach the server."""
    monkeypatch.setattr(durability, "is_local", lambda _: False)
    folder = make_dataset(5).folder
    sync_tree(folder)
    assert sorted(synced) == sorted([folder, *folder.rglob("*")])


def test_an_error_of_the_disk_is_raised_with_the_folder(
    make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
):
    """Nothing is published on top of it."""
    folder = make_dataset(5).folder

    class Library:
        """A C library whose disk is broken."""

        @staticmethod
        def syncfs(descriptor: int) -> int:
            """Fail as the kernel does."""
            assert stat.S_ISDIR(os.fstat(descriptor).st_mode)
            ctypes.set_errno(errno.EIO)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library)
    with pytest.raises(OSError, match="Input/output error") as caught:
        sync_tree(folder)
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(folder))


def test_a_dataset_is_synced_before_it_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Sync, manifest, version, link: in this order."""
    order: list[str] = []
    canonical = tmp_path / "us_data_1d"

    def traced(what: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            order.append(what)
            return real(*arguments, **options)

        return call

    publish = "qlib_shadow_runner.dataset.publish"
    monkeypatch.setattr(f"{publish}.sync_tree", traced("sync", sync_tree))
    monkeypatch.setattr(f"{publish}.DatasetManifest.write", traced("manifest", DatasetManifest.write))
    monkeypatch.setattr(Path, "rename", traced("version", Path.rename))
    monkeypatch.setattr(Path, "symlink_to", traced("link", Path.symlink_to))
    source = {"synthetic": {"symbols": 10, "days": 250}}
    ensure(canonical, parse_spec({"dataset": {"source": source}}).dataset)
    assert order == ["sync", "manifest", "version", "link"]

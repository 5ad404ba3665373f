"""Every archive format and layout is unpacked to calendars, features and instruments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.archive.unpack import unpack
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.runner.dataset.archive.conftest import Files


def unpacked(folder: Path, content: bytes) -> Files:
    """Unpack and read back."""
    archive, staging = folder / "archive", folder / "staging"
    archive.write_bytes(content)
    staging.mkdir()
    unpack(archive, staging, "us.zip")
    return {
        path.relative_to(staging).as_posix(): path.read_bytes()
        for path in staging.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("prefix", ["", "us_data/", "./", "a/b/"])
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_every_archive_format_and_top_folder_is_unpacked(
    *,
    prefix: str,
    kind: str,
    tmp_path: Path,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    pack_tar: Callable[..., bytes],
):
    """The name of the file does not matter, nor the folder that it was packed in."""
    files = {prefix + name: content for name, content in dataset_files.items()}
    content = pack_zip(files) if kind == "zip" else pack_tar(files, kind.removeprefix("tar").lstrip("."))
    assert unpacked(tmp_path, content) == dataset_files


def test_files_beside_the_dataset_are_left_out(
    tmp_path: Path, dataset_files: Files, pack_zip: Callable[[Files], bytes]
):
    """Readmes, caches, and what a Mac adds to everything."""
    files = {f"us/{name}": content for name, content in dataset_files.items()}
    files |= {"us/README.md": b"hello", "us/features/.DS_Store": b"x", "__MACOSX/us/features/._aaa": b"x"}
    files |= {"us/dataset_cache/x": b"1", "us/features/": b""}
    assert unpacked(tmp_path, pack_zip(files)) == dataset_files


def test_backslashes_separate_folders(
    tmp_path: Path, dataset_files: Files, pack_zip: Callable[[Files], bytes]
):
    """Some tools there write them into zips."""
    files = {name.replace("/", "\\"): content for name, content in dataset_files.items()}
    assert unpacked(tmp_path, pack_zip(files)) == dataset_files


def test_archive_with_two_datasets_is_refused(
    tmp_path: Path, dataset_files: Files, pack_zip: Callable[[Files], bytes]
):
    """Which one is meant is not guessed."""
    files = {f"{top}/{name}": content for top in ("cn", "us") for name, content in dataset_files.items()}
    with pytest.raises(StageError, match=r"the archive holds 2 datasets \(cn, us\). Pack one.") as caught:
        unpacked(tmp_path, pack_zip(files))
    assert caught.value.reason is Reason.ARCHIVE_INVALID


def test_archive_without_a_dataset_lists_its_content(tmp_path: Path, pack_zip: Callable[[Files], bytes]):
    """So that the wrong file is recognised."""
    with pytest.raises(
        StageError, match=r"holds no Qlib dataset: .* It holds: prices.csv, readme.txt."
    ) as caught:
        unpacked(tmp_path, pack_zip({"prices.csv": b"", "readme.txt": b""}))
    assert caught.value.reason is Reason.ARCHIVE_INVALID

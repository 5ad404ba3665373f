"""A listing names every file with its hash, and the first file that is not what was written."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.storage.listed_files import first_fault, hash_files, listed_in

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with two files."""
    (tmp_path / "deeper").mkdir()
    (tmp_path / "a").write_text("one")
    (tmp_path / "deeper" / "b").write_text("two")
    return tmp_path


def test_every_file_is_listed_by_its_path(folder: Path):
    """With its SHA-256."""
    contents = {"a": b"one", "deeper/b": b"two"}
    assert hash_files(folder) == {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}


def test_the_first_fault_is_named(folder: Path):
    """A listing of no files is one."""
    listed = hash_files(folder)
    assert first_fault(folder, listed) is None
    (folder / "deeper/b").write_text("Two")
    assert first_fault(folder, listed) == f"{folder}/deeper/b is not what was written (its sha256 differs)"
    (folder / "a").unlink()
    assert first_fault(folder, listed) == f"{folder}/a is missing"
    assert first_fault(folder, {}) == "its listing names no files"


def test_another_hash_function_can_be_used(folder: Path):
    """As the cache does for files of gigabytes."""
    listed = hash_files(folder, lambda stream: stream.read().decode())
    assert listed == {"a": "one", "deeper/b": "two"}
    assert first_fault(folder, listed, lambda stream: stream.read().decode()) is None


@pytest.mark.parametrize("document", [None, {}, {"files": 7}, {"files": ["a"]}])
def test_a_document_without_files_lists_none(document: dict[str, object] | None):
    """Whatever a damaged one holds."""
    assert listed_in(document) == {}

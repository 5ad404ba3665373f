"""Only regular files of a sensible size are opened, and never through a link below the root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.runner.special_files import CONTENTS, DAMAGES, SPECIAL, replace

from qlib_shadow_runner.contract import ExitCode
from qlib_shadow_runner.errors import DamagedFileError, NotAnObjectError, from_os_error
from qlib_shadow_runner.storage.files import read_json_object, read_json_object_of_others
from qlib_shadow_runner.storage.relative_names import UnsafeNameError
from qlib_shadow_runner.storage.untrusted import (
    DOCUMENT,
    FileKind,
    is_file,
    names_in,
    open_file,
    read_file,
    read_object,
    read_text,
    why_unreadable,
)

DEVICES = Path("/dev")
SAYS = {
    "FIFO": "is a FIFO, where a JSON document is expected",
    "socket": "is a socket, where a JSON document is expected",
    "link": "is a link, where a JSON document is expected",
    "link to itself": "is a link, where a JSON document is expected",
    "folder": "is a folder, where a JSON document is expected",
    "sparse": "has 200.0 GiB, and a JSON document has at most 2.0 MiB",
    **dict.fromkeys(CONTENTS, "is not a JSON object"),
}
pytestmark = pytest.mark.timeout(10)


@pytest.mark.parametrize("damage", SAYS)
def test_a_damaged_document_is_named_with_what_it_is(tmp_path: Path, damage: str):
    """At once, without a wait and without reading it."""
    path = tmp_path / "results" / "qrun.json"
    replace(path, damage)
    with pytest.raises(DamagedFileError) as found:
        read_object(tmp_path, "results/qrun.json")
    assert str(found.value) == f"{path} {SAYS[damage]}"
    assert why_unreadable(found.value) == str(found.value)
    assert isinstance(found.value, NotAnObjectError) == (damage in CONTENTS)
    assert read_json_object_of_others(path, tmp_path) is None
    assert is_file(tmp_path, "results/qrun.json") == (damage not in SPECIAL or damage == "sparse")


def test_a_device_is_not_opened():
    """Not even one that could be read."""
    with pytest.raises(DamagedFileError, match="is a device"):
        open_file(DEVICES, "null", DOCUMENT)


@pytest.mark.parametrize("damage", ["FIFO", "link", "link to itself", "sparse"])
def test_a_folder_on_the_way_may_not_be_anything_else(tmp_path: Path, damage: str):
    """A link to a folder would lead out of the run."""
    replace(tmp_path / "results", damage)
    with pytest.raises(DamagedFileError, match=r"results is a \w+, where a folder is expected"):
        read_object(tmp_path, "results/qrun.json")
    with pytest.raises(DamagedFileError, match=r"results is a \w+, where a folder is expected"):
        names_in(tmp_path, "results")


def test_the_root_itself_may_be_a_link(tmp_path: Path):
    """The user, or this process, has named it."""
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "a.json").write_text('{"a": 1}')
    (tmp_path / "link").symlink_to("volume")
    assert read_object(tmp_path / "link", "a.json") == {"a": 1}
    assert names_in(tmp_path / "link") == ["a.json"]
    assert read_json_object(tmp_path / "link" / "a.json") == {"a": 1}


def test_a_file_that_grows_while_it_is_read_is_not_read_for_ever(tmp_path: Path):
    """A pipe to a program that writes without an end would do the same."""
    kind = FileKind("note", 10)
    path = tmp_path / "note"
    path.write_bytes(b"x" * 10)
    assert read_file(tmp_path, "note", kind) == b"x" * 10
    with open_file(tmp_path, "note", kind) as stream, path.open("ab") as more:
        more.write(b"x")
        more.flush()
        assert len(stream.read()) == 11, "the file has grown after it was looked at"
    with pytest.raises(DamagedFileError, match="note has 11 B, and a note has at most 10 B"):
        read_file(tmp_path, "note", kind)


def test_missing_files_are_missing(tmp_path: Path):
    """In every form, with the whole path in the error."""
    with pytest.raises(FileNotFoundError) as found:
        read_object(tmp_path, "results/qrun.json")
    assert found.value.filename == str(tmp_path / "results" / "qrun.json")
    assert why_unreadable(found.value, tmp_path) == "results/qrun.json is missing"
    assert read_json_object(tmp_path / "none" / "a.json") is None
    assert not is_file(tmp_path, "a")


def test_a_name_is_taken_apart_before_anything_is_opened(tmp_path: Path):
    """And text is decoded."""
    (tmp_path / "a").write_bytes("é".encode())
    (tmp_path / "inner").mkdir()
    assert read_text(tmp_path, "a") == "é"
    with pytest.raises(UnsafeNameError):
        read_text(tmp_path / "inner", "../a")
    (tmp_path / "a").write_bytes(b"\xff")
    with pytest.raises(DamagedFileError, match="is not UTF-8 text"):
        read_text(tmp_path, "a")


def test_no_descriptor_stays_open(tmp_path: Path):
    """Whatever was in the file's place."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for damage in DAMAGES:
        replace(tmp_path / "results" / "a", damage)
        read_json_object_of_others(tmp_path / "results" / "a", tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_stage_that_meets_a_damaged_file_of_its_own_says_what_to_do(tmp_path: Path):
    """No retry removes it."""
    os.mkfifo(tmp_path / "a")
    with pytest.raises(DamagedFileError) as found:
        read_json_object(tmp_path / "a")
    error = from_os_error(found.value)
    assert error.message == f"{tmp_path}/a is a FIFO, where a JSON document is expected. Remove it."
    assert error.exit_code is ExitCode.BAD_CONFIG

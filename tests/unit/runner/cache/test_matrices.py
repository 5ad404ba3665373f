"""The cache: the same matrix again, for the same question alone, whole or not at all, within a limit."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from qlib_shadow_runner.cache import content
from qlib_shadow_runner.cache import store as store_module
from qlib_shadow_runner.cache.content import CONTENT
from qlib_shadow_runner.cache.matrices import MATRIX, SYMBOLS, MatrixDraft, MatrixStore
from qlib_shadow_runner.cache.places import Space
from qlib_shadow_runner.cache.store import STAGING, remove
from qlib_shadow_runner.storage.files import read_json_object

if TYPE_CHECKING:
    from pathlib import Path

DAYS, INSTRUMENTS = np.array([3, 3, 4]), np.array([0, 1, 0])
VALUES = np.array([[1.0, np.nan, -0.0], [np.inf, 2.0, 3.0]], np.float32)


def make(store: MatrixStore, key: str = "a" * 64) -> MatrixDraft:
    """Make a matrix as a computation does."""
    draft = store.begin(key)
    room = draft.room(DAYS, INSTRUMENTS, 2)
    assert room is not None
    room[:] = VALUES
    return draft


@pytest.fixture
def store(tmp_path: Path) -> MatrixStore:
    """Give an empty cache, whose folder nobody has made."""
    return MatrixStore(tmp_path / "cache" / "features")


def test_what_is_kept_is_found_again_bit_for_bit(store: MatrixStore):
    """Rows and columns, mapped and not to be written to."""
    assert store.find("a" * 64) is None
    assert store.keep(make(store)) == "kept for other runs"
    found = store.find("a" * 64)
    assert found is not None
    assert found.matrix.tobytes() == VALUES.tobytes()
    assert (found.days.tolist(), found.instruments.tolist()) == (DAYS.tolist(), INSTRUMENTS.tolist())
    assert not found.matrix.flags.writeable
    assert store.find("b" * 64) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / MATRIX).write_bytes(bytes(24)),
        lambda folder: (folder / MATRIX).write_bytes(b""),
        lambda folder: (folder / MATRIX).unlink(),
        lambda folder: (folder / SYMBOLS).write_bytes(bytes(12)),
        lambda folder: (folder / CONTENT).write_text("{}"),
        lambda folder: (folder / CONTENT).write_text('{"schema": 2, "shape": [2]}'),
        lambda folder: (folder / CONTENT).write_text((folder / CONTENT).read_text().replace("3", "2", 1)),
        lambda folder: (folder / CONTENT).unlink(),
    ],
    ids=[
        "other values",
        "cut",
        "no matrix",
        "other rows",
        "no description",
        "half of it",
        "other shape",
        "no content",
    ],
)
def test_what_is_damaged_is_told_removed_and_made_again(
    store: MatrixStore, damage: object, capfd: pytest.CaptureFixture[str]
):
    """Nobody ever computes with it."""
    store.keep(make(store))
    folder = store.home / ("a" * 64)
    damage(folder)  # type: ignore[operator]
    assert store.find("a" * 64) is None
    assert "cannot be used" in capfd.readouterr().err
    assert not folder.exists()
    assert store.keep(make(store)) == "kept for other runs"
    assert store.find("a" * 64) is not None


def test_what_another_publishes_while_it_is_looked_for_stays(
    store: MatrixStore, monkeypatch: pytest.MonkeyPatch
):
    """It was not there at first, and is whole by now."""
    drafts = [make(store)]

    def look(path: Path) -> dict[str, object] | None:
        found = read_json_object(path)
        publish()
        return found

    def publish() -> None:
        while drafts:
            store.keep(drafts.pop())

    monkeypatch.setattr(content, "read_json_object", look)
    store.find("a" * 64)
    publish()
    assert store.find("a" * 64) is not None


def test_what_was_removed_and_made_again_while_it_is_read_stays(
    store: MatrixStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """The other one is not what was looked at."""
    store.keep(make(store))
    draft = make(store)

    def hash_before(folder: Path, names: list[str]) -> dict[str, str]:
        monkeypatch.undo()
        remove(folder)
        store.keep(draft)
        return dict.fromkeys(names, "")

    monkeypatch.setattr(content, "_hash_files", hash_before)
    assert store.find("a" * 64) is None
    assert store.find("a" * 64) is not None
    assert capfd.readouterr().err == ""


def test_what_is_removed_while_it_is_read_is_not_told(
    store: MatrixStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Somebody needed its room: nothing is damaged."""
    store.keep(make(store))

    def hash_after(folder: Path, names: list[str]) -> dict[str, str]:
        remove(folder)
        return hashes(folder, names)

    hashes = content._hash_files
    monkeypatch.setattr(content, "_hash_files", hash_after)
    assert store.find("a" * 64) is None
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("step", ["read_json_object", "_hash_files"])
@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_what_cannot_be_read_now_is_told_and_stays(
    store: MatrixStore,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    step: str,
    error: int,
):
    """A server that is away, or another user's files: the run goes on without them."""
    store.keep(make(store))

    def refuse(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(content, step, refuse)
    assert store.find("a" * 64) is None
    assert "cannot be used" in capfd.readouterr().err
    assert list(store.descriptions()) == [] or step == "_hash_files"
    monkeypatch.undo()
    assert store.find("a" * 64) is not None


def test_a_shelf_that_cannot_be_opened_is_an_empty_one(
    store: MatrixStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Neither looking nor listing ends a run."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    store.keep(make(store))
    with monkeypatch.context() as refused:
        refused.setattr(os, "open", refuse)
        refused.setattr(type(store.home), "iterdir", refuse)
        found = store.find("a" * 64), store.entries(), list(store.descriptions()), store.shrink()
    assert found == (None, [], [], [])
    assert "cannot be used" in capfd.readouterr().err


def test_whoever_may_not_say_that_it_was_used_has_found_it(
    store: MatrixStore, monkeypatch: pytest.MonkeyPatch
):
    """Another user's folder has a time of its own."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    store.keep(make(store))
    monkeypatch.setattr(os, "utime", refuse)
    assert store.find("a" * 64) is not None


def test_the_longest_unused_go_first(store: MatrixStore):
    """Use counts, and not age."""
    for number in range(3):
        store.keep(make(store, str(number) * 64))
        os.utime(store.home / (str(number) * 64), (1000 + number, 1000 + number))
    assert store.find("0" * 64) is not None
    size = store.entries()[0].size
    removed = store.shrink(2 * size)
    assert [entry.folder.name for entry in removed] == ["1" * 64]
    assert store.find("0" * 64) is not None
    assert store.shrink(0) != []
    assert store.entries() == []


def test_what_is_more_than_may_stay_is_not_written_and_nothing_goes_for_it(
    store: MatrixStore, capfd: pytest.CaptureFixture[str]
):
    """The others are as good as before."""
    store.keep(make(store))
    small = replace(store, limit=40)
    draft = small.begin("b" * 64)
    assert draft.room(DAYS, INSTRUMENTS, 2) is None
    assert not draft.folder.exists()
    assert small.keep(draft) == "not kept"
    assert "48 B are more than the 40 B that may stay: the smaller of 20 GiB" in capfd.readouterr().err
    assert small.publish(make(store, "c" * 64), {}) == "not kept"
    assert [path.name for path in store.home.iterdir()] == ["a" * 64]


def test_room_is_made_before_anything_is_written(store: MatrixStore):
    """There is never more than the limit."""
    for number in range(2):
        store.keep(make(store, str(number) * 64))
        os.utime(store.home / (str(number) * 64), (1000 + number, 1000 + number))
    full = replace(store, limit=sum(entry.size for entry in store.entries()))
    assert full.begin("b" * 64).room(DAYS, INSTRUMENTS, 2) is not None
    assert [entry.folder.name for entry in store.entries()] == ["1" * 64]


def test_a_filesystem_keeps_room_for_what_runs_write(
    store: MatrixStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """A quarter of it may be kept, and the longest unused go where too little of it is free."""
    assert Space(40 << 30, 0).default_limit == 10 << 30
    assert Space(1 << 50, 0).default_limit == 20 << 30
    for number in range(3):
        store.keep(make(store, str(number) * 64))
        os.utime(store.home / (str(number) * 64), (1000 + number, 1000 + number))
    size = store.entries()[0].size
    total = 40 * size

    def free() -> int:
        return 3 * size - sum(entry.size for entry in store.entries())

    monkeypatch.setattr(store_module, "space_of", lambda _: Space(total, free()))
    store.make_room(0)
    assert len(store.entries()) == 1
    store.make_room(size)
    assert len(store.entries()) == 0
    store.keep(make(store))
    total = 400 * size
    assert store.begin("b" * 64).room(DAYS, INSTRUMENTS, 2) is None
    assert "the volume has no room for 48 B" in capfd.readouterr().err
    assert len(store.entries()) == 1


def test_a_matrix_that_is_removed_is_read_to_its_end(store: MatrixStore):
    """By whoever has it open."""
    store.keep(make(store))
    found = store.find("a" * 64)
    store.shrink(0)
    assert found is not None
    assert found.matrix.tobytes() == VALUES.tobytes()


def test_what_was_left_half_made_goes_after_a_day_where_locks_tell_nothing(
    store: MatrixStore, monkeypatch: pytest.MonkeyPatch
):
    """Not before: somebody may be at it, on another machine."""
    monkeypatch.setattr(store_module, "is_local", lambda _: False)
    old, new = make(store, "a" * 64), make(store, "b" * 64)
    os.utime(old.folder, (1000, 1000))
    assert [entry.folder for entry in store.shrink()] == [old.folder]
    assert not old.folder.exists()
    assert new.folder.is_dir()
    assert store.entries() == []


MAKE = """
import sys
from pathlib import Path
import numpy as np
from qlib_shadow_runner.cache.matrices import MatrixStore
MatrixStore(Path(sys.argv[1])).begin("b" * 64).room(np.zeros(9), np.zeros(9), 2)
print("made", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_run_left_half_made_goes_at_once(store: MatrixStore):
    """While it is made it counts, and stays; the kernel says when nobody is at it."""
    store.keep(make(store))
    command = [sys.executable, "-c", MAKE, str(store.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as maker:
        assert maker.stdout is not None
        assert maker.stdout.readline() == b"made\n"
        assert (store.abandoned(), store.shrink()) == ([], [])
        [kept] = store.entries()
        assert store.shrink(kept.size) == [kept]
        maker.kill()
    [left] = store.abandoned()
    assert (left.kind, left.size) == ("incomplete", 9 * 4 * 4)
    assert store.shrink() == [left]
    assert list(store.home.iterdir()) == []


def test_many_at_once_leave_one(store: MatrixStore):
    """Whoever is second finds it there, and each is told that it is kept."""
    drafts = [make(store) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(store.keep, drafts))
    assert outcomes == ["kept for other runs"] * 8
    assert [path.name for path in store.home.iterdir()] == ["a" * 64]
    assert store.find("a" * 64) is not None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """And the computation has its room in memory."""
    (tmp_path / "file").write_text("")
    store = MatrixStore(tmp_path / "file" / "features")
    draft = store.begin("a" * 64)
    assert draft.room(DAYS, INSTRUMENTS, 2) is None
    assert store.keep(draft) == "not kept"
    assert "not kept for other runs" in capfd.readouterr().err


def test_room_that_the_disk_has_not_is_an_answer_and_no_crash(
    store: MatrixStore, capfd: pytest.CaptureFixture[str]
):
    """A mapping over the end of a full disk would end the process with a signal."""
    assert store.begin("a" * 64).room(DAYS, INSTRUMENTS, 1 << 48) is None
    assert "not kept for other runs" in capfd.readouterr().err
    assert list(store.home.glob(f"{STAGING}*")) == []

"""The store returns a matrix for its own key alone, complete or not at all, within the size limit."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.unit.runner.special_files import replace as put

from qlib_shadow_runner.cache import content
from qlib_shadow_runner.cache import store as store_module
from qlib_shadow_runner.cache.content import CONTENT
from qlib_shadow_runner.cache.matrices import MATRIX, SYMBOLS, MatrixDraft, MatrixStore
from qlib_shadow_runner.cache.places import Space
from qlib_shadow_runner.cache.store import STAGING
from qlib_shadow_runner.storage import held
from qlib_shadow_runner.storage.files import read_json_object
from qlib_shadow_runner.storage.listed_files import first_fault
from qlib_shadow_runner.storage.removal import remove

if TYPE_CHECKING:
    from pathlib import Path

DAYS, INSTRUMENTS = np.array([3, 3, 4]), np.array([0, 1, 0])
VALUES = np.array([[1.0, np.nan, -0.0], [np.inf, 2.0, 3.0]], np.float32)


def make(store: MatrixStore, key: str = "a" * 64) -> MatrixDraft:
    """Return a draft that is filled as a computation fills it."""
    draft = store.begin(key)
    room = draft.room(DAYS, INSTRUMENTS, 2)
    assert room is not None
    room[:] = VALUES
    return draft


@pytest.fixture
def store(tmp_path: Path) -> MatrixStore:
    """Return an empty store whose folder does not exist yet."""
    return MatrixStore(tmp_path / "cache" / "features")


def test_kept_matrix_is_found_bit_for_bit(store: MatrixStore):
    """Rows and columns are equal; the columns are mapped read-only."""
    assert store.find("a" * 64) is None
    assert store.keep(make(store)) == "kept for other runs"
    found = store.find("a" * 64)
    assert found is not None
    assert found.matrix(1).tobytes() == VALUES.tobytes()
    assert (found.days.tolist(), found.instruments.tolist()) == (DAYS.tolist(), INSTRUMENTS.tolist())
    assert not found.matrix(1).flags.writeable
    assert store.find("b" * 64) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / MATRIX).write_bytes(bytes(24)),
        lambda folder: (folder / MATRIX).write_bytes(b""),
        lambda folder: (folder / MATRIX).unlink(),
        lambda folder: (folder / SYMBOLS).write_bytes(bytes(12)),
        lambda folder: (folder / CONTENT).write_text("{}"),
        lambda folder: (folder / CONTENT).write_text('{"schema": 4, "shape": [2]}'),
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
def test_damaged_entry_is_reported_and_removed(
    store: MatrixStore, damage: object, capfd: pytest.CaptureFixture[str]
):
    """It is never read, and the matrix can be kept again."""
    store.keep(make(store))
    folder = store.home / ("a" * 64)
    damage(folder)  # type: ignore[operator]
    assert store.find("a" * 64) is None
    assert "cannot be used" in capfd.readouterr().err
    assert not folder.exists()
    assert store.keep(make(store)) == "kept for other runs"
    assert store.find("a" * 64) is not None


def test_entry_published_during_search_stays(store: MatrixStore, monkeypatch: pytest.MonkeyPatch):
    """There was no entry when the search began, and there is a complete one afterwards."""
    drafts = [make(store)]

    def look(path: Path, *more: Any) -> dict[str, object] | None:
        found = read_json_object(path, *more)
        publish()
        return found

    def publish() -> None:
        while drafts:
            store.keep(drafts.pop())

    monkeypatch.setattr(content, "read_json_object", look)
    store.find("a" * 64)
    publish()
    assert store.find("a" * 64) is not None


def test_entry_replaced_during_read_stays(
    store: MatrixStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """The replaced entry failed verification; the new one is another folder."""
    store.keep(make(store))
    draft = make(store)

    def hash_before(folder: Path, *_: object) -> str:
        monkeypatch.undo()
        remove(folder)
        store.keep(draft)
        return "other hashes"

    monkeypatch.setattr(content, "first_fault", hash_before)
    assert store.find("a" * 64) is None
    assert store.find("a" * 64) is not None
    assert capfd.readouterr().err == ""


def test_entry_removed_during_read_is_not_reported_as_damaged(
    store: MatrixStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Another run needed its space: nothing is damaged."""
    store.keep(make(store))

    def hash_after(folder: Path, *arguments: Any) -> str | None:
        remove(folder)
        return first_fault(folder, *arguments)

    monkeypatch.setattr(content, "first_fault", hash_after)
    assert store.find("a" * 64) is None
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("step", ["read_json_object", "first_fault"])
@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_unreadable_entry_is_reported_and_stays(
    store: MatrixStore,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    step: str,
    error: int,
):
    """The file server is unavailable, or the files belong to another user: the run continues without them."""
    store.keep(make(store))

    def refuse(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(content, step, refuse)
    assert store.find("a" * 64) is None
    assert "cannot be used" in capfd.readouterr().err
    assert list(store.descriptions()) == [] or step == "first_fault"
    monkeypatch.undo()
    assert store.find("a" * 64) is not None


def test_unreadable_store_counts_as_empty(
    store: MatrixStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Neither reading nor listing ends a run."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    store.keep(make(store))
    with monkeypatch.context() as refused:
        refused.setattr(os, "open", refuse)
        refused.setattr(type(store.home), "iterdir", refuse)
        found = store.find("a" * 64), store.entries(), list(store.descriptions()), store.shrink()
    assert found == (None, [], [], [])
    assert "cannot be used" in capfd.readouterr().err


def test_entry_is_found_if_its_time_cannot_be_set(store: MatrixStore, monkeypatch: pytest.MonkeyPatch):
    """The time of another user's folder cannot be set."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    store.keep(make(store))
    monkeypatch.setattr(os, "utime", refuse)
    assert store.find("a" * 64) is not None


def test_entries_unused_for_longest_are_removed_first(store: MatrixStore):
    """The time of the last use counts, not the age."""
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


def test_entry_above_limit_is_not_written(store: MatrixStore, capfd: pytest.CaptureFixture[str]):
    """The entries that are there stay."""
    store.keep(make(store))
    small = replace(store, limit=40)
    draft = small.begin("b" * 64)
    assert draft.room(DAYS, INSTRUMENTS, 2) is None
    assert not draft.folder.exists()
    assert small.keep(draft) == "not kept"
    assert "48 B are more than the 40 B that may stay: the smaller of 20 GiB" in capfd.readouterr().err
    assert small.publish(make(store, "c" * 64), {}) == "not kept"
    assert [path.name for path in store.home.iterdir()] == ["a" * 64]


def test_room_is_made_before_writing(store: MatrixStore):
    """The store never exceeds its limit."""
    for number in range(2):
        store.keep(make(store, str(number) * 64))
        os.utime(store.home / (str(number) * 64), (1000 + number, 1000 + number))
    full = replace(store, limit=sum(entry.size for entry in store.entries()))
    assert full.begin("b" * 64).room(DAYS, INSTRUMENTS, 2) is not None
    assert [entry.folder.name for entry in store.entries()] == ["1" * 64]


def test_store_leaves_space_for_runs(
    store: MatrixStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """At most a quarter of it is used by default, and entries are removed when too little is free."""
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


def test_removed_matrix_can_be_read_to_its_end(store: MatrixStore):
    """A reader that has it open can finish."""
    store.keep(make(store))
    found = store.find("a" * 64)
    store.shrink(0)
    assert found is not None
    assert found.matrix(1).tobytes() == VALUES.tobytes()


def test_incomplete_entry_is_removed_after_a_day_without_locks(
    store: MatrixStore, monkeypatch: pytest.MonkeyPatch
):
    """Before that, a process on another machine may still be writing."""
    monkeypatch.setattr(held, "is_local", lambda _: False)
    old, new = make(store, "a" * 64), make(store, "b" * 64)
    for draft in (old, new):
        draft.release()
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


def test_incomplete_entry_of_killed_run_is_removed_at_once(store: MatrixStore):
    """While its writer lives it counts and stays; the kernel releases the lock when the writer ends."""
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


def test_concurrent_writers_leave_one_entry(store: MatrixStore):
    """A later writer finds the entry there, and each is told that it is kept."""
    drafts = [make(store) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(store.keep, drafts))
    assert outcomes == ["kept for other runs"] * 8
    assert [path.name for path in store.home.iterdir()] == ["a" * 64]
    assert store.find("a" * 64) is not None


def test_unwritable_cache_is_no_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """The computation uses memory."""
    (tmp_path / "file").write_text("")
    store = MatrixStore(tmp_path / "file" / "features")
    draft = store.begin("a" * 64)
    assert draft.room(DAYS, INSTRUMENTS, 2) is None
    assert store.keep(draft) == "not kept"
    assert "not kept for other runs" in capfd.readouterr().err


def test_missing_disk_space_does_not_kill_the_process(store: MatrixStore, capfd: pytest.CaptureFixture[str]):
    """A write into a mapping beyond the end of a full disk would kill the process."""
    assert store.begin("a" * 64).room(DAYS, INSTRUMENTS, 1 << 48) is None
    assert "not kept for other runs" in capfd.readouterr().err
    assert list(store.home.glob(f"{STAGING}*")) == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize("damage", ["FIFO", "link", "sparse"])
@pytest.mark.parametrize("place", [CONTENT, MATRIX, "other"])
def test_an_entry_with_something_else_in_it_is_made_again(
    store: MatrixStore, capfd: pytest.CaptureFixture[str], place: str, damage: str
):
    """Also a file that its description does not name: a reader would open it."""
    store.keep(make(store))
    put(store.home / ("a" * 64) / place, damage)
    assert [entry.kind for entry in store.entries()] == ["damaged" if place == CONTENT else "features"]
    assert store.find("a" * 64) is None
    assert "cannot be used" in capfd.readouterr().err
    assert store.entries() == []
    assert store.keep(make(store)) == "kept for other runs"


@pytest.mark.parametrize(
    "about",
    [{"symbols": 7, "last": 1}, {"symbols": ["A"], "last": "x"}, {"symbols": [[]], "last": 1}, {}],
)
def test_a_description_of_another_form_is_no_earlier_matrix(store: MatrixStore, about: dict[str, object]):
    """Another run has written it."""
    draft = make(store)
    draft.about = {"family": "one", **about}
    store.keep(draft)
    assert list(store.older("one", 5, ["A"])) == []

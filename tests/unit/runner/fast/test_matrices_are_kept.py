"""The cache: the same matrix again, for the same question alone, whole or not at all, within a limit."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.unit.runner.fast.markets import Life, Market
from tests.unit.runner.fast.side_by_side import by_qlib, by_us, named, open_dataset, require_same

from qlib_shadow_runner.cache import store
from qlib_shadow_runner.cache.key import MatrixIdentity
from qlib_shadow_runner.cache.matrices import MATRIX, SYMBOLS, MatrixDraft, MatrixStore
from qlib_shadow_runner.cache.places import ENV_CACHE, Space
from qlib_shadow_runner.cache.store import CONTENT, STAGING, remove
from qlib_shadow_runner.engine.matrix import Universe
from qlib_shadow_runner.storage.files import read_json_object

if TYPE_CHECKING:
    from pathlib import Path

DAYS, INSTRUMENTS = np.array([3, 3, 4]), np.array([0, 1, 0])
VALUES = np.array([[1.0, np.nan, -0.0], [np.inf, 2.0, 3.0]], np.float32)


def make(cache: MatrixStore, key: str = "a" * 64) -> MatrixDraft:
    """Make a matrix as a computation does."""
    draft = cache.begin(key)
    room = draft.room(DAYS, INSTRUMENTS, 2)
    assert room is not None
    room[:] = VALUES
    return draft


@pytest.fixture
def cache(tmp_path: Path) -> MatrixStore:
    """Give an empty cache, whose folder nobody has made."""
    return MatrixStore(tmp_path / "cache" / "features")


def test_what_is_kept_is_found_again_bit_for_bit(cache: MatrixStore):
    """Rows and columns, mapped and not to be written to."""
    assert cache.find("a" * 64) is None
    assert cache.keep(make(cache)) == "kept for other runs"
    found = cache.find("a" * 64)
    assert found is not None
    assert found.matrix.tobytes() == VALUES.tobytes()
    assert (found.days.tolist(), found.instruments.tolist()) == (DAYS.tolist(), INSTRUMENTS.tolist())
    assert not found.matrix.flags.writeable
    assert cache.find("b" * 64) is None


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
    cache: MatrixStore, damage: object, capfd: pytest.CaptureFixture[str]
):
    """Nobody ever computes with it."""
    cache.keep(make(cache))
    folder = cache.home / ("a" * 64)
    damage(folder)  # type: ignore[operator]
    assert cache.find("a" * 64) is None
    assert "cannot be used" in capfd.readouterr().err
    assert not folder.exists()
    assert cache.keep(make(cache)) == "kept for other runs"
    assert cache.find("a" * 64) is not None


def test_what_another_publishes_while_it_is_looked_for_stays(
    cache: MatrixStore, monkeypatch: pytest.MonkeyPatch
):
    """It was not there at first, and is whole by now."""
    drafts = [make(cache)]

    def look(path: Path) -> dict[str, object] | None:
        found = read_json_object(path)
        publish()
        return found

    def publish() -> None:
        while drafts:
            cache.keep(drafts.pop())

    monkeypatch.setattr(store, "read_json_object", look)
    cache.find("a" * 64)
    publish()
    assert cache.find("a" * 64) is not None


def test_what_was_removed_and_made_again_while_it_is_read_stays(
    cache: MatrixStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """The other one is not what was looked at."""
    cache.keep(make(cache))
    draft = make(cache)

    def hash_before(folder: Path, names: list[str]) -> dict[str, str]:
        monkeypatch.undo()
        remove(folder)
        cache.keep(draft)
        return dict.fromkeys(names, "")

    monkeypatch.setattr(store, "_hashes", hash_before)
    assert cache.find("a" * 64) is None
    assert cache.find("a" * 64) is not None
    assert capfd.readouterr().err == ""


def test_what_is_removed_while_it_is_read_is_not_told(
    cache: MatrixStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Somebody needed its room: nothing is damaged."""
    cache.keep(make(cache))

    def hash_after(folder: Path, names: list[str]) -> dict[str, str]:
        remove(folder)
        return hashes(folder, names)

    hashes = store._hashes
    monkeypatch.setattr(store, "_hashes", hash_after)
    assert cache.find("a" * 64) is None
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("step", ["read_json_object", "_hashes"])
@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_what_cannot_be_read_now_is_told_and_stays(
    cache: MatrixStore,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    step: str,
    error: int,
):
    """A server that is away, or another user's files: the run goes on without them."""
    cache.keep(make(cache))

    def refuse(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(store, step, refuse)
    assert cache.find("a" * 64) is None
    assert "cannot be used" in capfd.readouterr().err
    assert list(cache.descriptions()) == [] or step == "_hashes"
    monkeypatch.undo()
    assert cache.find("a" * 64) is not None


def test_a_shelf_that_cannot_be_opened_is_an_empty_one(
    cache: MatrixStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Neither looking nor listing ends a run."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    cache.keep(make(cache))
    with monkeypatch.context() as refused:
        refused.setattr(os, "open", refuse)
        refused.setattr(type(cache.home), "iterdir", refuse)
        found = cache.find("a" * 64), cache.entries(), list(cache.descriptions()), cache.shrink()
    assert found == (None, [], [], [])
    assert "cannot be used" in capfd.readouterr().err


def test_whoever_may_not_say_that_it_was_used_has_found_it(
    cache: MatrixStore, monkeypatch: pytest.MonkeyPatch
):
    """Another user's folder has a time of its own."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    cache.keep(make(cache))
    monkeypatch.setattr(os, "utime", refuse)
    assert cache.find("a" * 64) is not None


def test_the_longest_unused_go_first(cache: MatrixStore):
    """Use counts, and not age."""
    for number in range(3):
        cache.keep(make(cache, str(number) * 64))
        os.utime(cache.home / (str(number) * 64), (1000 + number, 1000 + number))
    assert cache.find("0" * 64) is not None
    size = cache.entries()[0].size
    removed = cache.shrink(2 * size)
    assert [entry.folder.name for entry in removed] == ["1" * 64]
    assert cache.find("0" * 64) is not None
    assert cache.shrink(0) != []
    assert cache.entries() == []


def test_what_is_more_than_may_stay_is_not_written_and_nothing_goes_for_it(
    cache: MatrixStore, capfd: pytest.CaptureFixture[str]
):
    """The others are as good as before."""
    cache.keep(make(cache))
    small = replace(cache, limit=40)
    draft = small.begin("b" * 64)
    assert draft.room(DAYS, INSTRUMENTS, 2) is None
    assert not draft.folder.exists()
    assert small.keep(draft) == "not kept"
    assert "48 B are more than the 40 B that may stay: the smaller of 20 GiB" in capfd.readouterr().err
    assert small.publish(make(cache, "c" * 64), {}) == "not kept"
    assert [path.name for path in cache.home.iterdir()] == ["a" * 64]


def test_room_is_made_before_anything_is_written(cache: MatrixStore):
    """There is never more than the limit."""
    for number in range(2):
        cache.keep(make(cache, str(number) * 64))
        os.utime(cache.home / (str(number) * 64), (1000 + number, 1000 + number))
    full = replace(cache, limit=sum(entry.size for entry in cache.entries()))
    assert full.begin("b" * 64).room(DAYS, INSTRUMENTS, 2) is not None
    assert [entry.folder.name for entry in cache.entries()] == ["1" * 64]


def test_a_filesystem_keeps_room_for_what_runs_write(
    cache: MatrixStore, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """A quarter of it may be kept, and the longest unused go where too little of it is free."""
    assert Space(40 << 30, 0).usual_limit == 10 << 30
    assert Space(1 << 50, 0).usual_limit == 20 << 30
    for number in range(3):
        cache.keep(make(cache, str(number) * 64))
        os.utime(cache.home / (str(number) * 64), (1000 + number, 1000 + number))
    size = cache.entries()[0].size
    total = 40 * size

    def free() -> int:
        return 3 * size - sum(entry.size for entry in cache.entries())

    monkeypatch.setattr(store, "space_of", lambda _: Space(total, free()))
    cache.make_room(0)
    assert len(cache.entries()) == 1
    cache.make_room(size)
    assert len(cache.entries()) == 0
    cache.keep(make(cache))
    total = 400 * size
    assert cache.begin("b" * 64).room(DAYS, INSTRUMENTS, 2) is None
    assert "the volume has no room for 48 B" in capfd.readouterr().err
    assert len(cache.entries()) == 1


def test_a_matrix_that_is_removed_is_read_to_its_end(cache: MatrixStore):
    """By whoever has it open."""
    cache.keep(make(cache))
    found = cache.find("a" * 64)
    cache.shrink(0)
    assert found is not None
    assert found.matrix.tobytes() == VALUES.tobytes()


def test_what_was_left_half_made_goes_after_a_day_where_locks_tell_nothing(
    cache: MatrixStore, monkeypatch: pytest.MonkeyPatch
):
    """Not before: somebody may be at it, on another machine."""
    monkeypatch.setattr(store, "is_local", lambda _: False)
    old, new = make(cache, "a" * 64), make(cache, "b" * 64)
    os.utime(old.folder, (1000, 1000))
    assert [entry.folder for entry in cache.shrink()] == [old.folder]
    assert not old.folder.exists()
    assert new.folder.is_dir()
    assert cache.entries() == []


MAKE = """
import sys
from pathlib import Path
import numpy as np
from qlib_shadow_runner.cache.matrices import MatrixStore
MatrixStore(Path(sys.argv[1])).begin("b" * 64).room(np.zeros(9), np.zeros(9), 2)
print("made", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_run_left_half_made_goes_at_once(cache: MatrixStore):
    """While it is made it counts, and stays; the kernel says when nobody is at it."""
    cache.keep(make(cache))
    command = [sys.executable, "-c", MAKE, str(cache.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as maker:
        assert maker.stdout is not None
        assert maker.stdout.readline() == b"made\n"
        assert (cache.abandoned(), cache.shrink()) == ([], [])
        [kept] = cache.entries()
        assert cache.shrink(kept.size) == [kept]
        maker.kill()
    [left] = cache.abandoned()
    assert (left.kind, left.size) == ("half made", 9 * 4 * 4)
    assert cache.shrink() == [left]
    assert list(cache.home.iterdir()) == []


def test_many_at_once_leave_one(cache: MatrixStore):
    """Whoever is second finds it there, and each is told that it is kept."""
    drafts = [make(cache) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        feature_stats = list(pool.map(cache.keep, drafts))
    assert feature_stats == ["kept for other runs"] * 8
    assert [path.name for path in cache.home.iterdir()] == ["a" * 64]
    assert cache.find("a" * 64) is not None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """And the computation has its room in memory."""
    (tmp_path / "file").write_text("")
    cache = MatrixStore(tmp_path / "file" / "features")
    draft = cache.begin("a" * 64)
    assert draft.room(DAYS, INSTRUMENTS, 2) is None
    assert cache.keep(draft) == "not kept"
    assert "not kept for other runs" in capfd.readouterr().err


def test_room_that_the_disk_has_not_is_an_answer_and_no_crash(
    cache: MatrixStore, capfd: pytest.CaptureFixture[str]
):
    """A mapping over the end of a full disk would end the process with a signal."""
    assert cache.begin("a" * 64).room(DAYS, INSTRUMENTS, 1 << 48) is None
    assert "not kept for other runs" in capfd.readouterr().err
    assert list(cache.home.glob(f"{STAGING}*")) == []


def identity(root: Path, **other: object) -> str:
    """Ask something, or something else."""
    asked = {
        "root": root,
        "universe": Universe(("AAA",), ("aaa",), (((0, 5),),)),
        "span": (0, 5),
        "columns": (("feature", "A", "$close"),),
    }
    return MatrixIdentity(**(asked | other)).key()  # type: ignore[arg-type]


def test_another_question_or_other_data_has_another_key(make_dataset: object, tmp_path: Path):
    """Each part of it counts, and the place of the data does not."""
    root = make_dataset(30).folder  # type: ignore[operator]
    key = identity(root)
    others = [
        identity(root, span=(0, 4)),
        identity(root, columns=(("feature", "A", "$open"),)),
        identity(root, columns=(("feature", "B", "$close"),)),
        identity(root, universe=Universe(("AAA",), ("aaa",), None)),
        identity(root, universe=Universe(("BBB",), ("bbb",), (((0, 5),),))),
    ]
    assert len({key, *others}) == 6
    shutil.copytree(root, tmp_path / "elsewhere")
    assert identity(tmp_path / "elsewhere") == key
    (tmp_path / "elsewhere" / "features" / "aaa" / "close.day.bin").write_bytes(bytes(124))
    assert identity(tmp_path / "elsewhere") != key


MARKET = Market(30, {"AAA": Life(0, 30, 1), "BBB": Life(2, 20, 2)}, {})
CONFIG = {"feature": named("Mean($close, 3)", "EMA($close, 3)"), "label": named("Ref($close, -1)")}
ASKED = CONFIG, "all", "2020-01-01", "2020-02-01"


def test_a_frame_is_nobodys_to_change_whether_made_or_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Both lie in the file that others read."""
    monkeypatch.setenv(ENV_CACHE, str(tmp_path / "cache"))
    open_dataset(MARKET.write(tmp_path / "us"))
    (made, first), (found, second) = by_us(*ASKED), by_us(*ASKED)
    assert (first.cache, second.cache) == ("kept for other runs", "taken from the cache")
    before = found.to_numpy().copy()
    for frame in (made, found):
        with pytest.raises(ValueError, match="read-only"):
            frame.iloc[0, 0] = 7.0
    assert found.to_numpy().tobytes() == before.tobytes() == made.to_numpy().tobytes()
    require_same(by_qlib(*ASKED), made)


def test_whose_a_column_is_stays_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Qlib computed it, whether now or for the run that kept it."""
    monkeypatch.setenv(ENV_CACHE, str(tmp_path / "cache"))
    open_dataset(MARKET.write(tmp_path / "us"))
    feature_stats = [by_us(*ASKED)[1] for _ in range(2)]
    assert [one.columns_by_qlib for one in feature_stats] == [["C1"], ["C1"]]
    assert "1 columns by Qlib's own engine (C1)" in feature_stats[1].sentence()


def test_what_was_made_of_data_that_changed_meanwhile_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Under the name of the data before it would be wrong for whoever has those."""
    monkeypatch.setenv(ENV_CACHE, str(tmp_path / "cache"))
    root = MARKET.write(tmp_path / "us")
    open_dataset(root)
    path = root / "features" / "aaa" / "close.day.bin"
    before = path.read_bytes()
    name = MatrixIdentity.key

    def name_and_write(identity: MatrixIdentity) -> str:
        key = name(identity)
        path.write_bytes(before[:4] + before[8:12] + before[8:])
        return key

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(MatrixIdentity, "key", name_and_write)
        _, feature_stats = by_us(*ASKED)
    assert feature_stats.cache == "not kept"
    assert "not kept for other runs: somebody wrote to the dataset meanwhile" in capfd.readouterr().err
    path.write_bytes(before)
    open_dataset(root)
    ours, feature_stats = by_us(*ASKED)
    assert feature_stats.cache == "kept for other runs"
    require_same(by_qlib(*ASKED), ours)


LOAD = """
import sys, qlib
from qlib_shadow_runner.plugins.loader import QlibDataLoader
if __name__ == "__main__":
    qlib.init(provider_uri=sys.argv[1], region="us", kernels=1)
    config = {"feature": (["Slope($close, 3)"], ["A"]), "label": (["Ref($close, -1)"], ["L"])}
    frame = QlibDataLoader(config).load("all", "2020-01-01", "2020-03-01")
    print(frame.shape, "numba" in sys.modules)
"""


def test_a_run_that_finds_its_features_compiles_nothing(make_dataset: object, tmp_path: Path):
    """Not even the compiler is imported; and a dataset that cannot be written to is as good."""
    root = make_dataset(30).folder  # type: ignore[operator]
    environ = {**os.environ, ENV_CACHE: str(tmp_path / "cache")}
    feature_stats = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", LOAD, str(root)],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert "kept for other runs" in feature_stats[0]
    assert "(90, 2) True" in feature_stats[0]
    assert "taken from the cache" in feature_stats[1]
    assert "(90, 2) False" in feature_stats[1]

"""A crash, a race or a refresh never shows a partial dataset, and a user's folder is never deleted."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.ensure import check_age, ensure, find_fresh
from qlib_shadow_runner.dataset.manifest import DatasetManifest, manifest_path
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.dataset.sources.synthetic import Synthetic
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec

if TYPE_CHECKING:
    from qlib_shadow_runner.dataset.asked import DatasetSpec

MakeDataset = Callable[..., Dataset]


SMALL: dict[str, object] = {"synthetic": {"symbols": 10, "days": 250}}


def spec(source: dict[str, object] | None = None, **fields: object) -> DatasetSpec:
    """Ask for a small synthetic dataset, or for what is there."""
    return parse_spec({"dataset": {"source": SMALL if source is None else source, **fields}}).dataset


def seeded(seed: int) -> dict[str, object]:
    """Ask for other data."""
    return {"synthetic": {"symbols": 10, "days": 250, "seed": seed}}


EXISTING: dict[str, object] = {"existing": {}}


@pytest.fixture
def canonical(tmp_path: Path) -> Path:
    """Return the name that runs use."""
    return tmp_path / "volume" / "us_data_1d"


def visible(canonical: Path) -> set[str]:
    """List what a user sees beside the dataset."""
    return {path.name for path in canonical.parent.iterdir() if not path.name.startswith(".")}


def test_dataset_is_published_under_its_fingerprint_with_a_manifest_beside(canonical: Path):
    """The name is a relative link, so that the volume can be mounted anywhere."""
    resolved = ensure(canonical, spec())
    version = f"us_data_1d@{resolved.manifest.fingerprint[:12]}"
    assert visible(canonical) == {"us_data_1d", version, f"{version}.manifest.json"}
    assert canonical.readlink() == Path(version)
    assert resolved.folder == canonical.resolve()


def test_second_run_finds_the_version_without_a_build(canonical: Path):
    """The fresh path is taken by every run but the first."""
    first = ensure(canonical, spec())
    assert find_fresh(canonical, spec()) == first


def test_fresh_dataset_is_found_without_numpy_pandas_and_qlib(canonical: Path):
    """A nightly run whose data is there pays nothing for it."""
    ensure(canonical, spec())
    code = f"""
        import sys
        from pathlib import Path
        from qlib_shadow_runner.dataset.ensure import find_fresh
        from qlib_shadow_runner.spec import parse_spec
        asked = parse_spec({{"dataset": {{"source": {SMALL}}}}}).dataset
        assert find_fresh(Path({str(canonical)!r}), asked) is not None
        print(*sorted({{"numpy", "pandas", "qlib", "yaml", "jinja2", "pyarrow"}} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_other_parameters_build_another_version(canonical: Path):
    """A run must not use data from other parameters."""
    ours, theirs = ensure(canonical, spec()), ensure(canonical, spec(seeded(8)))
    assert ours.folder != theirs.folder
    assert canonical.resolve() == theirs.folder
    assert ours.folder.is_dir()


def test_earlier_version_is_used_again_and_pointed_at(canonical: Path):
    """Two specs that alternate build twice, not every time."""
    first = ensure(canonical, spec())
    built = first.folder.stat().st_ino
    ensure(canonical, spec(seeded(8)))
    again = ensure(canonical, spec())
    assert (again.folder, again.folder.stat().st_ino) == (first.folder, built)
    assert canonical.resolve() == first.folder


def test_refresh_never_does_not_build(canonical: Path):
    """And says what to set."""
    with pytest.raises(StageError, match="refresh: Never forbids making one") as caught:
        ensure(canonical, spec(refresh="Never"))
    assert caught.value.reason is Reason.DATASET_MISSING


def test_refresh_always_builds_the_same_version_again(canonical: Path):
    """The same bytes have the same name."""
    first = ensure(canonical, spec())
    assert ensure(canonical, spec(refresh="Always")).folder == first.folder
    assert find_fresh(canonical, spec()) is not None


def test_missing_dataset_has_its_own_reason(canonical: Path):
    """The sentence lists the ways out."""
    with pytest.raises(
        StageError, match=r"there is no dataset at .* name another source, such as synthetic"
    ) as caught:
        ensure(canonical, spec(EXISTING))
    assert caught.value.reason is Reason.DATASET_MISSING
    assert not canonical.parent.exists()


def test_users_folder_is_adopted_as_it_is(make_dataset: MakeDataset, canonical: Path):
    """It stays a folder; only the manifest is added beside it."""
    make_dataset(5, folder=canonical)
    resolved = ensure(canonical, spec(EXISTING))
    assert resolved.folder == canonical
    assert not canonical.is_symlink()
    assert visible(canonical) == {"us_data_1d", "us_data_1d.manifest.json"}
    assert find_fresh(canonical, spec(EXISTING)) == resolved


def test_users_folder_that_changed_is_verified_again(make_dataset: MakeDataset, canonical: Path):
    """The user may change the folder, so it is verified again."""
    make_dataset(5, folder=canonical)
    first = ensure(canonical, spec(EXISTING))
    (canonical / "instruments" / "few.txt").write_text("AAA\t2020-01-01\t2020-01-07\n")
    assert find_fresh(canonical, spec(EXISTING)) is None
    assert ensure(canonical, spec(EXISTING)).manifest.fingerprint != first.manifest.fingerprint


def test_users_folder_is_never_replaced(make_dataset: MakeDataset, canonical: Path):
    """A build refuses, and says which two ways there are."""
    make_dataset(5, folder=canonical)
    with pytest.raises(
        StageError, match=r"it is never replaced. To use it, write source: \{existing: \{\}\}"
    ):
        ensure(canonical, spec())
    assert (canonical / "calendars" / "day.txt").is_file()


def test_users_file_is_never_replaced(canonical: Path):
    """Such as one's own prices, named where the dataset was to go."""
    canonical.parent.mkdir()
    canonical.write_text("date,symbol,close\n")
    with pytest.raises(
        StageError, match=r"is a file that .* never replaced. To build a dataset, set spec.dataset.path"
    ) as caught:
        ensure(canonical, spec())
    assert caught.value.reason is Reason.DATASET_INVALID
    assert canonical.read_text() == "date,symbol,close\n"
    assert visible(canonical) == {"us_data_1d"}


@pytest.mark.parametrize(
    "target", ["mine", "nowhere", "us_data_1d@mine", "../volume/us_data_1d@0123456789ab"]
)
def test_users_link_is_never_replaced(make_dataset: MakeDataset, canonical: Path, target: str):
    """Only a bare name with a fingerprint is ours, wherever the link leads."""
    make_dataset(5, folder=canonical.with_name("mine"))
    canonical.symlink_to(target)
    with pytest.raises(StageError, match="is a link that qlib-shadow did not make, and it is never replaced"):
        ensure(canonical, spec())
    assert canonical.readlink() == Path(target)


def test_folder_that_appears_during_a_build_is_never_replaced(
    canonical: Path, monkeypatch: pytest.MonkeyPatch
):
    """The version is made, and takes the name once it is free."""
    real = Synthetic.build

    def build(self: Synthetic, folder: Path) -> None:
        real(self, folder)
        canonical.write_text("mine")

    monkeypatch.setattr(Synthetic, "build", build)
    with pytest.raises(StageError, match="is a file that qlib-shadow did not make"):
        ensure(canonical, spec())
    assert canonical.read_text() == "mine"
    assert {path.name for path in canonical.parent.glob(".*")} == {".us_data_1d.lock"}
    canonical.unlink()
    assert ensure(canonical, spec(refresh="Never")).folder == canonical.resolve()


def test_empty_folder_is_not_a_dataset(canonical: Path):
    """As the kubelet makes them for a subPath."""
    canonical.mkdir(parents=True)
    with pytest.raises(StageError, match="holds no Qlib dataset"):
        ensure(canonical, spec(EXISTING))


def test_changed_version_is_refused(canonical: Path):
    """The name of a version fixes its bytes."""
    resolved = ensure(canonical, spec())
    with (resolved.folder / "calendars" / "day.txt").open("a") as stream:
        stream.write("2030-01-02\n")
    assert find_fresh(canonical, spec()) is None
    with pytest.raises(StageError, match="was changed after it was published"):
        ensure(canonical, spec())


def test_build_refuses_a_changed_version_with_its_fingerprint(canonical: Path):
    """Building the same content again must not accept the changed files of the version."""
    resolved = ensure(canonical, spec())
    with (resolved.folder / "features" / "syn001" / "close.day.bin").open("r+b") as stream:
        stream.seek(8)
        stream.write(b"\x00\x00\x80\x40")
    with pytest.raises(StageError, match="was changed after it was published"):
        ensure(canonical, spec(refresh="Always"))
    assert find_fresh(canonical, spec()) is None


def test_copied_volume_is_verified_only_once(canonical: Path):
    """Copying changes the times, not the bytes."""
    resolved = ensure(canonical, spec())
    os.utime(resolved.folder / "calendars" / "day.txt", ns=(1, 1))
    assert find_fresh(canonical, spec()) is None
    assert ensure(canonical, spec()).manifest.fingerprint == resolved.manifest.fingerprint
    assert find_fresh(canonical, spec()) is not None


FAULT_POINTS = {
    "while building": "sources.synthetic.Synthetic.build = "
    "lambda self, folder: (folder / 'x').mkdir() or die()",
    "before the manifest": "manifest.DatasetManifest.write = die",
    "before the rename": "Path.rename = die",
    "before the name points at it": "Path.symlink_to = die",
    "before the link is in place": "real = Path.replace; Path.replace = "
    "lambda self, to: die() if '.link-' in self.name else real(self, to)",
}


@pytest.mark.parametrize("fault", FAULT_POINTS.values(), ids=FAULT_POINTS)
@pytest.mark.parametrize("before", [None, 8], ids=["nothing there", "another version there"])
def test_kill_at_any_crash_point_leaves_the_old_or_the_new_version(
    canonical: Path, fault: str, before: int | None
):
    """The next run succeeds and removes temporary files."""
    old = ensure(canonical, spec(seeded(before))).folder if before else None
    code = f"""
        import os, signal
        from pathlib import Path
        from qlib_shadow_runner.dataset import ensure, manifest, sources
        import qlib_shadow_runner.dataset.sources.synthetic
        from qlib_shadow_runner.spec import parse_spec
        def die(*_): os.kill(os.getpid(), signal.SIGKILL)
        asked = parse_spec({{"dataset": {{"source": {SMALL}}}}}).dataset
        {fault}
        ensure.ensure(Path({str(canonical)!r}), asked)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr.decode()
    assert (canonical.resolve() if canonical.exists() else None) == old
    resolved = ensure(canonical, spec())
    assert canonical.resolve() == resolved.folder
    assert {path.name for path in canonical.parent.glob(".*")} == {".us_data_1d.lock"}


def test_concurrent_runs_build_once(canonical: Path):
    """Take the lock, then look again."""
    code = f"""
        import sys
        from pathlib import Path
        from qlib_shadow_runner.dataset.ensure import ensure
        from qlib_shadow_runner.dataset.sources.synthetic import Synthetic
        from qlib_shadow_runner.spec import parse_spec
        real = Synthetic.build
        Synthetic.build = lambda self, folder: (print("built"), real(self, folder))[1]
        asked = parse_spec({{"dataset": {{"source": {SMALL}}}}}).dataset
        sys.stdin.readline()
        ensure(Path({str(canonical)!r}), asked)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    runs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("go\n")
        run.stdin.flush()
    outputs = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert "".join(outputs).count("built") == 1


def test_max_age_applies_only_to_real_data(canonical: Path):
    """Synthetic prices have no age; they warn instead."""
    manifest = ensure(canonical, spec()).manifest
    today = date(2026, 1, 1)
    assert check_age(manifest, None, today) is None
    warning = check_age(manifest, 3, today)
    assert warning is not None
    assert "which does not apply to synthetic data" in warning
    real = DatasetManifest(**{**vars(manifest), "synthetic": False})
    with pytest.raises(StageError, match=r"the dataset ends on .* days ago; maxAgeDays is 3") as caught:
        check_age(real, 3, today)
    assert caught.value.reason is Reason.DATASET_STALE
    assert check_age(real, real.age_days(today), today) is None


def test_manifest_says_where_the_data_came_from(canonical: Path):
    """With every parameter, and when."""
    resolved = ensure(canonical, spec())
    manifest = DatasetManifest.read(manifest_path(resolved.folder))
    assert manifest == resolved.manifest
    assert manifest.source == "synthetic model=1 seed=7 symbols=10 start=2019-01-02 days=250"
    assert manifest.synthetic
    assert resolved.folder.name == f"us_data_1d@{manifest.fingerprint[:12]}"
    assert (manifest.calendar_start, manifest.calendar_end, manifest.days) == (
        "2019-01-02",
        resolved.dataset.calendar[-1].isoformat(),
        250,
    )
    assert (manifest.universes, manifest.instruments) == ({"all": 11, "demo": 10}, 11)
    files = [path for path in resolved.folder.rglob("*") if path.is_file()]
    assert (manifest.files, manifest.size) == (len(files), sum(path.stat().st_size for path in files))
    closes = [
        struct.iter_unpack("<f", path.read_bytes()[4:]) for path in files if path.match("close.day.bin")
    ]
    assert manifest.rows == sum(1 for values in closes for (value,) in values if value == value)  # noqa: PLR0124 - NaN
    assert datetime.fromisoformat(manifest.created_utc).tzinfo is UTC or manifest.created_utc.endswith(
        "+00:00"
    )

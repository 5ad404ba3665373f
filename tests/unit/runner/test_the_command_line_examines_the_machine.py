"""`qlib-shadow doctor`: what a run needs is there, or the line says what to do."""

from __future__ import annotations

import errno
import json
from importlib import metadata
from pathlib import Path

import pytest

from qlib_shadow_runner.cli import health, main
from qlib_shadow_runner.cli.doctor import print_health
from qlib_shadow_runner.cli.health import CHECKS, Diagnosis, Machine
from qlib_shadow_runner.guard.layers import available_layers


def test_this_machine_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The one that runs these tests can do a run."""
    main(["doctor", "--data", str(tmp_path), "--json"])
    report = json.loads(capsys.readouterr().out)
    found = {check["name"]: check["passed"] for check in report["checks"]}
    assert list(found) == [
        *("python", "packages", "libgomp", "volume", "space", "limits", "time zone", "/dev/shm"),
        "network guard",
    ]
    assert all(found[name] for name in ("python", "packages", "libgomp", "volume"))
    assert report["passed"] is all(found.values())


@pytest.mark.parametrize(("libgomp", "code"), [("libc.so.6", 0), ("libnone.so.9", 1)])
def test_one_line_for_each_check_and_one_code_for_all(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    libgomp: str,
    code: int,
):
    """0 where everything holds, 1 where one thing does not."""
    monkeypatch.setattr(health, "FREE", 0)
    monkeypatch.setattr(health, "SHARED", 0)
    here = Machine(tmp_path, {}, libgomp=libgomp, cgroup=tmp_path, shared=tmp_path)
    assert print_health(tmp_path, as_json=False, surroundings=here) == code
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CHECKS)
    assert lines[2].startswith(f"{'✗' if code else '✓'} libgomp: {libgomp}")


def test_an_old_python_is_named(tmp_path: Path):
    """And a new one, for which there are no wheels."""
    for version in ((3, 10, 1), (3, 13, 0)):
        assert "Use Python 3.11 or 3.12" in str(health.check_python(Machine(tmp_path, python=version)))


def test_missing_and_old_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By what the project itself asks for; a newer one will do where a newer one is allowed."""
    wanted = ["qlib==1.0; extra == 'runner'", "lgb>=4.6; extra == 'runner'", "np>=2.2; extra == 'runner'"]
    installed = {"lgb": "4.5.9", "np": "10.0.0rc1"}

    def version(package: str) -> str:
        if package not in installed:
            raise metadata.PackageNotFoundError
        return installed[package]

    monkeypatch.setattr(metadata, "requires", lambda _: [*wanted, "kopf>=1; extra == 'operator'"])
    monkeypatch.setattr(metadata, "version", version)
    found = health.check_packages(Machine(tmp_path))
    assert (found.passed, found.detail) == (False, "qlib is missing; lgb is 4.5.9, not >=4.6")
    assert "pip install" in found.remedy


def test_a_volume_that_is_not_there_yet_is_judged_by_the_folder_above(tmp_path: Path):
    """The first run makes it; the doctor does not."""
    found = health.check_volume(Machine(tmp_path / "a" / "data"))
    assert found.passed
    assert "will be made by the first run" in found.detail
    assert list(tmp_path.iterdir()) == []


def test_a_volume_that_cannot_be_written_names_the_ids(monkeypatch: pytest.MonkeyPatch):
    """They are what somebody has to give the volume to."""
    monkeypatch.setattr("os.getuid", lambda: 10001)
    monkeypatch.setattr("os.getgid", lambda: 10002)
    found = health.check_volume(Machine(Path("/proc/self")))
    assert not found.passed
    assert "/proc/self cannot be written by 10001:10002 (UID:GID)" in found.detail
    assert "chown -R 10001:10002" in found.remedy


def test_a_file_is_no_volume(tmp_path: Path):
    """Nor is anything below it asked."""
    (tmp_path / "data").write_text("x")
    assert "is not a folder. Name one with --data." in str(health.check_volume(Machine(tmp_path / "data")))


def test_too_little_room_and_memory_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With how much there should be."""
    monkeypatch.setattr(health, "FREE", 1 << 80)
    (tmp_path / "memory.max").write_text(str(1 << 30))
    (tmp_path / "cpu.max").write_text("50000 100000")
    here = Machine(tmp_path, cgroup=tmp_path)
    assert "qlib-shadow prune" in health.check_space(here).remedy
    found = health.check_limits(here)
    assert (found.passed, found.detail) == (False, "0.5 CPUs, 1 threads, 1.0 GiB of memory")


@pytest.mark.parametrize("zone", ["", "UTC", ":UTC", "JST-9", "<+03>-3"])
def test_a_time_zone_that_the_machine_knows_is_fine(tmp_path: Path, zone: str):
    """By name, by rule, or none."""
    assert health.check_zone(Machine(tmp_path, {"TZ": zone})).passed


@pytest.mark.parametrize("zone", ["Mars/Base", "../etc/passwd", "Tokyo"])
def test_a_time_zone_that_nobody_knows_is_found(tmp_path: Path, zone: str):
    """Without it, times would silently be UTC's."""
    found = health.check_zone(Machine(tmp_path, {"TZ": zone}))
    assert (found.passed, found.detail) == (False, f"TZ={zone} is not known here")


def test_missing_shared_memory_is_found(tmp_path: Path):
    """With how to have some."""
    found = health.check_shared(Machine(tmp_path, shared=tmp_path / "none"))
    assert isinstance(found, Diagnosis)
    assert (found.passed, "--shm-size" in found.remedy) == (False, True)


def test_what_keeps_a_run_from_the_network_is_named(tmp_path: Path):
    """On this machine, every layer that the tests of the guard see at work."""
    found = health.check_network_guard(Machine(tmp_path))
    assert (found.passed, found.detail) == (True, ", ".join(available_layers()))
    assert "audit-hook" in found.detail


def test_a_kernel_that_can_close_nothing_is_found(tmp_path: Path):
    """Python's own hook alone would stop Python alone."""

    def nothing(*_: object) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    found = health.check_network_guard(Machine(tmp_path, guard=lambda: available_layers(nothing)))
    assert (found.passed, found.detail) == (False, "audit-hook")
    assert "Linux 5.9 or later" in found.remedy

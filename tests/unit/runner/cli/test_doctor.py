"""`qlib-shadow doctor`: each check passes, or its line says what to do."""

from __future__ import annotations

import errno
import json
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from tests.unit.runner.hostile.hostile_values import LETTERS, is_seen

from qlib_shadow_runner.cli import doctor, main
from qlib_shadow_runner.cli.doctor import CHECKS, Diagnosis, Machine, print_health
from qlib_shadow_runner.guard.layers import available_layers


def test_this_machine_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A machine that runs these tests can do a run."""
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
def test_exit_code_is_1_if_a_check_fails(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    libgomp: str,
    code: int,
):
    """Every check prints one line."""
    monkeypatch.setattr(doctor, "FREE", 0)
    monkeypatch.setattr(doctor, "SHARED", 0)
    here = Machine(tmp_path, {}, libgomp=libgomp, cgroup=tmp_path, shared=tmp_path)
    assert print_health(tmp_path, as_json=False, machine=here) == code
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CHECKS)
    assert lines[2].startswith(f"{'✗' if code else '✓'} libgomp: {libgomp}")


def test_unsupported_python_is_found(tmp_path: Path):
    """Too old, or too new for wheels of Qlib."""
    for version in ((3, 10, 1), (3, 13, 0)):
        assert "Use Python 3.11 or 3.12" in str(doctor.check_python(Machine(tmp_path, python=version)))


def test_missing_and_old_packages_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By the project's own requirements, of which some allow newer versions."""
    wanted = ["qlib==1.0; extra == 'runner'", "lgb>=4.6; extra == 'runner'", "np>=2.2; extra == 'runner'"]
    installed = {"lgb": "4.5.9", "np": "10.0.0rc1"}

    def version(package: str) -> str:
        if package not in installed:
            raise metadata.PackageNotFoundError
        return installed[package]

    monkeypatch.setattr(metadata, "requires", lambda _: [*wanted, "kopf>=1; extra == 'operator'"])
    monkeypatch.setattr(metadata, "version", version)
    found = doctor.check_packages(Machine(tmp_path))
    assert (found.passed, found.detail) == (False, "qlib is missing; lgb is 4.5.9, not >=4.6")
    assert "pip install" in found.remedy


def test_missing_volume_is_checked_by_the_folder_above_it(tmp_path: Path):
    """The first run creates it; doctor does not."""
    found = doctor.check_volume(Machine(tmp_path / "a" / "data"))
    assert found.passed
    assert "will be made by the first run" in found.detail
    assert list(tmp_path.iterdir()) == []


def test_unwritable_volume_names_user_and_group(monkeypatch: pytest.MonkeyPatch):
    """They must get write access."""
    monkeypatch.setattr("os.getuid", lambda: 10001)
    monkeypatch.setattr("os.getgid", lambda: 10002)
    found = doctor.check_volume(Machine(Path("/proc/self")))
    assert not found.passed
    assert "/proc/self cannot be written by 10001:10002 (UID:GID)" in found.detail
    assert "chown -R 10001:10002" in found.remedy


def test_volume_that_is_mounted_read_only_gets_no_advice_about_its_owner(small_volume: Path):
    """What its owner may do changes nothing."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_volume)], check=True)
    found = doctor.check_volume(Machine(small_volume))
    assert not found.passed
    assert "Mount the volume for writing" in found.remedy
    assert "chown" not in found.remedy


def test_volume_that_is_a_file_is_found(tmp_path: Path):
    """The line says how to name a folder."""
    (tmp_path / "data").write_text("x")
    assert "is not a folder. Name one with --data." in str(doctor.check_volume(Machine(tmp_path / "data")))


def test_too_little_space_and_memory_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With what is available."""
    monkeypatch.setattr(doctor, "FREE", 1 << 80)
    (tmp_path / "memory.max").write_text(str(1 << 30))
    (tmp_path / "cpu.max").write_text("50000 100000")
    here = Machine(tmp_path, cgroup=tmp_path)
    assert "qlib-shadow prune" in doctor.check_space(here).remedy
    found = doctor.check_limits(here)
    assert (found.passed, found.detail) == (False, "0.5 CPUs, 1 threads, 1.0 GiB of memory")


@pytest.mark.parametrize("zone", ["", "UTC", ":UTC", "JST-9", "<+03>-3"])
def test_known_time_zone_passes(tmp_path: Path, zone: str):
    """A name, a POSIX rule, or none."""
    assert doctor.check_zone(Machine(tmp_path, {"TZ": zone})).passed


@pytest.mark.parametrize("zone", ["Mars/Base", "../etc/passwd", "Tokyo"])
def test_unknown_time_zone_is_found(tmp_path: Path, zone: str):
    """Times would silently be in UTC."""
    found = doctor.check_zone(Machine(tmp_path, {"TZ": zone}))
    assert (found.passed, found.detail) == (False, f"TZ={zone} is not known here")


def test_missing_shared_memory_is_found(tmp_path: Path):
    """With the option that adds some."""
    found = doctor.check_shared(Machine(tmp_path, shared=tmp_path / "none"))
    assert isinstance(found, Diagnosis)
    assert (found.passed, "--shm-size" in found.remedy) == (False, True)


def test_network_guard_names_its_layers(tmp_path: Path):
    """On this machine, those that the tests of the guard use."""
    found = doctor.check_network_guard(Machine(tmp_path))
    assert (found.passed, found.detail) == (True, ", ".join(available_layers()))
    assert "audit-hook" in found.detail


def test_kernel_without_network_guard_is_found(tmp_path: Path):
    """Python's audit hook alone would stop only Python code."""

    def nothing(*_: object) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    found = doctor.check_network_guard(Machine(tmp_path, guard=lambda: available_layers(nothing)))
    assert (found.passed, found.detail) == (False, "audit-hook")
    assert "Linux 5.9 or later" in found.remedy


def test_letters_of_the_environment_are_told_as_escapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A variable may come from a file that another person has written."""
    print_health(tmp_path, as_json=False, machine=Machine(tmp_path, {"TZ": "".join(LETTERS)}))
    output = capsys.readouterr().out
    assert is_seen(output)
    assert len(output.splitlines()) == len(CHECKS)

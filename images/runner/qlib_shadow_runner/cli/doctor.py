"""`qlib-shadow doctor`: checks whether this machine or container can do a run; each failure has a remedy."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import from_os_error, volume_not_writable
from qlib_shadow_runner.guard.layers import available_layers
from qlib_shadow_runner.printing import print_json, print_lines
from qlib_shadow_runner.process.limits import CGROUP, read_limits
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROJECT: Final = "qlib-shadow-operator"
PYTHONS: Final = ((3, 11), (3, 13))
"""The first version that pyqlib has wheels for, and the first one that it has none for."""
REQUIREMENT: Final = re.compile(r"([\w.-]+)\s*(==|>=)\s*([\d.]+)\s*;\s*extra == ['\"]runner['\"]")
LIBGOMP: Final = "libgomp.so.1"
FREE: Final = 2 << 30
"""Bytes for a daily dataset of some hundred symbols, two copies while it is replaced, and for runs."""
MEMORY: Final = 2 << 30
"""Bytes of memory that the download stage gets in a cluster."""
SHARED: Final = 64 << 20
"""Bytes of shared memory that container runtimes give by default."""
POSIX_ZONE: Final = re.compile(r"[A-Za-z]{3,}[+-]?\d{1,2}.*|<[^>]+>[+-]?\d.*", re.ASCII)


@dataclass(frozen=True)
class Diagnosis:
    """The result of one check."""

    name: str
    passed: bool
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        """Return the line that is printed."""
        sign = "✓" if self.passed else "✗"
        return f"{sign} {self.name}: {self.detail}" + (f". {self.remedy}" if self.remedy else "")


@dataclass(frozen=True)
class Machine:
    """What the checks look at; a test gives other places."""

    data: Path
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    python: tuple[int, ...] = tuple(sys.version_info[:3])
    libgomp: str = LIBGOMP
    cgroup: Path = CGROUP
    guard: Callable[[], list[str]] = available_layers
    shared: Path = Path("/dev/shm")  # noqa: S108 - its size is read; nothing secret is written there


def print_health(data: Path, *, as_json: bool, machine: Machine | None = None) -> int:
    """Print every check; return 0 only when all of them pass."""
    machine = machine or Machine(data.absolute())
    diagnoses = [check(machine) for check in CHECKS]
    healthy = all(diagnosis.passed for diagnosis in diagnoses)
    if as_json:
        print_json({"passed": healthy, "checks": [asdict(diagnosis) for diagnosis in diagnoses]})
    else:
        print_lines(map(str, diagnoses))
    return ExitCode.DONE if healthy else ExitCode.INTERNAL


def check_python(machine: Machine) -> Diagnosis:
    """Check that Qlib has wheels for this Python."""
    passed = PYTHONS[0] <= machine.python[:2] < PYTHONS[1]
    found = ".".join(map(str, machine.python))
    return _diagnosis("python", found, passed=passed, remedy="Use Python 3.11 or 3.12.")


def check_packages(_: Machine) -> Diagnosis:
    """Check that the packages which the project requires are installed."""
    try:
        wanted = [found for text in metadata.requires(PROJECT) or () if (found := REQUIREMENT.match(text))]
    except metadata.PackageNotFoundError:
        wanted = []
    remedy = f'Install the runner: pip install "{PROJECT}[runner]".'
    if not wanted:
        return _diagnosis("packages", f"{PROJECT} is not installed", passed=False, remedy=remedy)
    faults = [fault for found in wanted if (fault := _package_fault(*found.groups()))]
    versions = ", ".join(f"{found[1]} {_version(found[1])}" for found in wanted)
    return _diagnosis("packages", "; ".join(faults) or versions, passed=not faults, remedy=remedy)


def check_libgomp(machine: Machine) -> Diagnosis:
    """Check that the library which LightGBM needs can be loaded."""
    try:
        ctypes.CDLL(machine.libgomp)
    except OSError:
        remedy = "Install it, on Debian with: apt-get install libgomp1."
        return _diagnosis("libgomp", f"{machine.libgomp} cannot be loaded", passed=False, remedy=remedy)
    return _diagnosis("libgomp", machine.libgomp, passed=True)


def check_volume(machine: Machine) -> Diagnosis:
    """Check that the volume can be written by this user."""
    if machine.data.exists() and not machine.data.is_dir():
        return _diagnosis(
            "volume", f"{machine.data} is not a folder", passed=False, remedy="Name one with --data."
        )
    folder = _nearest(machine.data)
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"x")
    except OSError as error:
        detail = f"{folder} cannot be written by {_ids()} (UID:GID): {error.strerror}"
        known = from_os_error(error, folder)
        fault = volume_not_writable(str(folder)) if known.reason is Reason.INTERNAL_ERROR else known
        remedy = fault.message.partition(". ")[2]
        return _diagnosis("volume", detail, passed=False, remedy=remedy)
    coming = "" if folder == machine.data else f"; {machine.data} will be made by the first run"
    return _diagnosis("volume", f"{folder} can be written by {_ids()} (UID:GID){coming}", passed=True)


def check_space(machine: Machine) -> Diagnosis:
    """Check the free space for datasets and runs."""
    free = shutil.disk_usage(_nearest(machine.data)).free
    remedy = f"Free {format_size(FREE)} with qlib-shadow prune, or enlarge the volume."
    return _diagnosis("space", f"{format_size(free)} free", passed=free >= FREE, remedy=remedy)


def check_limits(machine: Machine) -> Diagnosis:
    """Check the memory limit of the container."""
    limits = read_limits(machine.cgroup)
    memory = (
        "unlimited memory" if limits.memory_bytes is None else f"{format_size(limits.memory_bytes)} of memory"
    )
    return _diagnosis(
        "limits",
        f"{limits.cpus:g} CPUs, {limits.threads} threads, {memory}",
        passed=limits.memory_bytes is None or limits.memory_bytes >= MEMORY,
        remedy=f"Raise the container's memory limit to {format_size(MEMORY)} at least.",
    )


def check_zone(machine: Machine) -> Diagnosis:
    """Check that the time zone of TZ is known: the C library silently uses UTC for an unknown one."""
    name = machine.environ.get("TZ", "").removeprefix(":")
    if not name:
        return _diagnosis("time zone", "TZ is not set; the system's zone is used", passed=True)
    remedy = "Install tzdata, or set TZ to a zone that is there, such as UTC."
    return _diagnosis(
        "time zone",
        f"TZ={name}" if _zone_is_known(name) else f"TZ={name} is not known here",
        passed=_zone_is_known(name),
        remedy=remedy,
    )


def check_shared(machine: Machine) -> Diagnosis:
    """Check the file system for shared memory."""
    name = str(machine.shared)
    remedy = f"Mount a tmpfs of {format_size(SHARED)} at least there, with docker: --shm-size=1g."
    if not machine.shared.is_dir() or not os.access(machine.shared, os.W_OK | os.X_OK):
        return _diagnosis(name, f"cannot be written by {_ids()} (UID:GID)", passed=False, remedy=remedy)
    free = shutil.disk_usage(machine.shared).free
    return _diagnosis(name, f"{format_size(free)} free", passed=free >= SHARED // 2, remedy=remedy)


def check_network_guard(machine: Machine) -> Diagnosis:
    """Check what keeps a run's training from the network."""
    layers = machine.guard()
    return _diagnosis(
        "network guard",
        ", ".join(layers),
        passed=len(layers) > 1,
        remedy="Only Python code would be stopped. Use Linux 5.9 or later, on x86_64 or aarch64, "
        "with a seccomp profile that allows seccomp(2), such as RuntimeDefault.",
    )


CHECKS: Final[tuple[Callable[[Machine], Diagnosis], ...]] = (
    check_python,
    check_packages,
    check_libgomp,
    check_volume,
    check_space,
    check_limits,
    check_zone,
    check_shared,
    check_network_guard,
)


def _diagnosis(name: str, detail: str, *, passed: bool, remedy: str = "") -> Diagnosis:
    return Diagnosis(name, passed, detail, "" if passed else remedy)


def _ids() -> str:
    return f"{os.getuid()}:{os.getgid()}"


def _nearest(path: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _package_fault(package: str, operator: str, wanted: str) -> str | None:
    found = _version(package)
    if found is None:
        return f"{package} is missing"
    fits = found == wanted if operator == "==" else _numbers(found) >= _numbers(wanted)
    return None if fits else f"{package} is {found}, not {operator}{wanted}"


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in release[0].split(".")) if release else ()


def _zone_is_known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return POSIX_ZONE.fullmatch(name) is not None  # such as JST-9, which needs no file
    return True

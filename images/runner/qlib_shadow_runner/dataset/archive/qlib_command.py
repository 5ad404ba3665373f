"""Run `python -m qlib.cli.data qlib_data` as a child process.

The command prompts before it deletes, unpacks in place and checks nothing. It therefore gets a closed
stdin, an empty staging folder and an allow-listed environment, and its output is verified like any dataset.
Qlib has no option for a mirror, so a small program sets GetData.REMOTE_URL and runs the same command line.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from typing import IO, TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.crash_points import fault_point
from qlib_shadow_runner.dataset.archive.failures import ADVICE, TRUST_ADVICE, refused
from qlib_shadow_runner.dataset.archive.network_variables import network_environment
from qlib_shadow_runner.dataset.archive.progress_log import INTERVAL
from qlib_shadow_runner.dataset.archive.time_limit import REMEDY, download_seconds
from qlib_shadow_runner.dataset.qlib_layout import PARTS
from qlib_shadow_runner.errors import StageError, from_os_error
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.process.environment import child_environment
from qlib_shadow_runner.process.memory_limit import memory_ran_out
from qlib_shadow_runner.texts import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

WITH_MIRROR: Final = """\
import sys
import fire
from qlib.tests.data import GetData
GetData.REMOTE_URL = sys.argv.pop(1)
fire.Fire(GetData)
"""
BAR: Final = re.compile(r"\d+%\||\bit/s\]|\bs/it\]")
"""A progress bar of tqdm."""
TAIL: Final = 20
LONGEST: Final = 600
"""The most characters of an error text; requests wraps errors, so the cause is at the end."""
STATUS: Final = re.compile(r"\b([45]\d\d) (Client|Server) Error")
FOR_GOOD: Final = {
    "Tunnel connection failed: 407": ADVICE[407],
    "Tunnel connection failed: 403": "The proxy does not let this host through.",
    "CERTIFICATE_VERIFY_FAILED": TRUST_ADVICE,
}
"""Texts of errors that a retry does not solve, with their remedies."""
FINAL_LINE: Final = re.compile(
    r"(?:[A-Za-z_]\w*\.)*([A-Z]\w*(?:Error|Exception|Exit|Interrupt|BadZipFile)|BadZipFile)\b"
)


def run_qlib_data(folder: Path, arguments: Mapping[str, str], mirror: str | None) -> None:
    """Fill the folder, or raise with the command's last error line."""
    options = [f"--{name}={value}" for name, value in arguments.items()]
    command = [sys.executable, "-P", *_program(mirror), "qlib_data", f"--target_dir={folder}", *options]
    print_line(f"running: python -m qlib.cli.data qlib_data {' '.join(options)}")
    with tempfile.TemporaryDirectory() as scratch:
        environ = child_environment(os.environ, threads=1, scratch=scratch) | network_environment(os.environ)
        seconds = download_seconds(os.environ)
        code, tail = _run(command, environ, scratch, seconds)
    if code is None:
        raise refused(
            f"qlib.cli.data was not done after {format_duration(seconds)}, the longest that a download may "
            f"take here, and it cannot continue one. To give it more time, {REMEDY}; or name a nearer mirror "
            "in spec.dataset.source.qlib.url, or use the source archive, which continues."
        )
    if code != 0:
        raise _failure(code, tail)
    _keep_parts(folder)
    fault_point("qlib-data-done")


def _program(mirror: str | None) -> list[str]:
    return ["-m", "qlib.cli.data"] if mirror is None else ["-c", WITH_MIRROR, mirror]


def _run(
    command: list[str], environ: dict[str, str], cwd: str, seconds: float
) -> tuple[int | None, list[str]]:
    """Run the child; return its exit code, or None where it took too long, and its last lines."""
    with subprocess.Popen(
        command,
        env=environ,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as child:
        assert child.stdout is not None, "it is a pipe"
        too_long = threading.Event()

        def stop() -> None:
            too_long.set()
            child.kill()

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            tail = _relay(child.stdout)
        except BaseException:
            child.kill()
            raise
        finally:
            timer.cancel()
    return None if too_long.is_set() else child.returncode, tail


def _relay(output: IO[str]) -> list[str]:
    tail: deque[str] = deque(maxlen=TAIL)
    next_bar = time.monotonic() + INTERVAL
    for line in output:
        text = redact(line.rstrip())
        if not text:
            continue
        if BAR.search(text):
            if time.monotonic() < next_bar:
                continue
            next_bar = time.monotonic() + INTERVAL
        else:
            tail.append(text)
        print_line(text)
    return list(tail)


def redact(line: str) -> str:
    """Return a line without users and queries in its URLs, which may be signed."""
    line = re.sub(r"(https?://)[^/\s@]+@", r"\1", line)
    return re.sub(
        r"(https?://[^\s?'\"]+)\?[^\s'\")]*", r"\1?…", re.sub(r"(url: /[^\s?]*)\?[^\s)]*", r"\1?…", line)
    )


def _failure(code: int, tail: list[str]) -> StageError:
    """Return the failure with the reason that the last error line shows."""
    words = last_words(tail)
    if code == -9:  # noqa: PLR2004 - SIGKILL
        return StageError(
            Reason.OUT_OF_MEMORY,
            "qlib.cli.data was killed (SIGKILL). Raise the download stage's memory limit.",
        )
    if "MemoryError" in words:
        return memory_ran_out("qlib.cli.data")
    if "No space left on device" in words or "Disk quota exceeded" in words:
        return StageError(
            Reason.OUT_OF_DISK,
            "no space is left while qlib.cli.data writes. Free space on the volume or enlarge it.",
        )
    said = f'qlib.cli.data ended with code {code}: "{words}".'
    for mark, advice in FOR_GOOD.items():
        if mark in words:
            return StageError(Reason.DOWNLOAD_REFUSED, f"{said} {advice}")
    status = STATUS.search(words)
    if status is not None and status[2] == "Client" and status[1] not in {"408", "425", "429"}:
        return StageError(
            Reason.DOWNLOAD_REFUSED, f"{said} Check region, version and url in spec.dataset.source.qlib."
        )
    return StageError(Reason.DOWNLOAD_FAILED, said)


def last_words(tail: Iterable[str]) -> str:
    """Return the exception at the end of a traceback, else the last line."""
    lines = [line for line in tail if not line.startswith(" ")]
    named = [line for line in lines if FINAL_LINE.match(line)]
    return (named or lines or ["no output"])[-1][:LONGEST]


def _keep_parts(folder: Path) -> None:
    """Remove the zip file that the command leaves beside the dataset."""
    try:
        for path in folder.iterdir():
            if path.name in PARTS:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise from_os_error(error) from error

"""The pages as a user starts them: a process of its own, found by the line that it prints."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.catalog.volumes import SmallVolume

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

REPORT = """<!doctype html><title>r</title><style>p{color:red}</style>
<p id=said>a report of its own<script>alert(1)</script>"""


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Give it as text."""
        return self.body.decode()


@dataclass(frozen=True)
class Served:
    """A server that listens."""

    small: SmallVolume
    said: str
    port: int
    process: int

    @property
    def url(self) -> str:
        """Say where."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for a path exactly as it stands, with nothing made nicer on the way."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return Answer(
                answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            )


@contextlib.contextmanager
def served(small: SmallVolume, *words: str, **environ: str) -> Iterator[Served]:
    """Start `qlib-shadow ui` on a free port, and stop it."""
    command = [
        sys.executable,
        "-m",
        "qlib_shadow_runner",
        "ui",
        "--data",
        str(small.data),
        "--port",
        "0",
        *words,
    ]
    with subprocess.Popen(
        command, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r":(\d+)/", said)
        assert found, said
        try:
            yield Served(small, said, int(found[1]), process.pid)
        finally:
            process.terminate()
            _, errors = process.communicate()
    assert errors == ""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallVolume:
    """Give a volume with runs that ended in every way, one of them with a report, and one at work."""
    volume = SmallVolume(tmp_path_factory.mktemp("pages") / "data")
    volume.add_dataset(64)
    for number in range(3):
        volume.add_run(f"nightly-{number}", 60 + number, market="sp500")
    volume.add_run("broken-1", 63, status="failed", reason="TrainingFailed")
    running = volume.add_run("busy-1", 64, status="running", stages={"qrun": {"attempts": 1}})
    (running / "stdout.log").write_text("it begins\n")
    (running / "results" / "qrun.json").unlink()
    folder = running.with_name("nightly-0")
    (folder / "report.html").write_text(REPORT)
    (folder / "stderr.log").write_text("".join(f"line {number} · ü\n" for number in range(9000)))
    return volume


def start(small: SmallVolume, *words: str, **environ: str) -> AbstractContextManager[Served]:
    """Start a server that a test needs for itself."""
    return served(small, *words, **environ)


@pytest.fixture(scope="module")
def pages(small: SmallVolume) -> Iterator[Served]:
    """Serve them, on this machine's own address."""
    with served(small) as one:
        yield one

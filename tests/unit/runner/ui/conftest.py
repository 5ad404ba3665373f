"""Starts the pages as a user does, in a process, whose port is read from the line that it prints."""

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
from tests.unit.runner.ledger.sample_book import write_book

from qlib_shadow_runner.contract import ARTIFACTS
from qlib_shadow_runner.ledger.entries import LEDGERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

REPORT = """<!doctype html><title>r</title><style>p{color:red}</style>
<p id=said>a report of its own<script>alert(1)</script>"""


@dataclass(frozen=True)
class Answer:
    """An answer of the server."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode()


@dataclass(frozen=True)
class Served:
    """A running server."""

    small: SmallVolume
    first_line: str
    port: int
    process: int

    @property
    def url(self) -> str:
        """Return the address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Request a path exactly as it is written, without normalisation."""
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
    """Run `qlib-shadow ui` on a free port."""
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
        first_line = process.stdout.readline()
        found = re.search(r":(\d+)/", first_line)
        assert found, first_line
        try:
            yield Served(small, first_line, int(found[1]), process.pid)
        finally:
            process.terminate()
            _, errors = process.communicate()
    assert errors == ""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallVolume:
    """Return a volume with runs in different states, one of them with a report."""
    volume = SmallVolume(tmp_path_factory.mktemp("pages") / "data")
    volume.add_dataset(64)
    for number in range(3):
        volume.add_run(f"nightly-{number}", 60 + number, market="sp500")
    volume.add_run("broken-1", 63, status="failed", reason="TrainingFailed")
    running = volume.add_run("busy-1", 64, status="running", stages={"qrun": {"attempts": 1}})
    (running / "stdout.log").write_text("it begins\n")
    (running / "results" / "qrun.json").unlink()
    for name, held in (("us-shadow", ()), ("us-held", (7,))):
        write_book(volume.data / ARTIFACTS / LEDGERS, name, 8, held=held, late=(3,), missed=(5,))
    folder = running.with_name("nightly-0")
    (folder / "report.html").write_text(REPORT)
    (folder / "stderr.log").write_text("".join(f"line {number} · ü\n" for number in range(9000)))
    return volume


def start(small: SmallVolume, *words: str, **environ: str) -> AbstractContextManager[Served]:
    """Start a server for one test."""
    return served(small, *words, **environ)


@pytest.fixture(scope="module")
def pages(small: SmallVolume) -> Iterator[Served]:
    """Serve the pages on 127.0.0.1."""
    with served(small) as one:
        yield one

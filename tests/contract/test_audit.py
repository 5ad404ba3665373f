"""`make audit` queries and reports the advisories of all locked packages; no answer is reported as such."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LOCK = "a==1.0 --hash=sha256:{0}\nb==2.0 --hash=sha256:{0}\n".format("0" * 64)
FLAW = {
    "id": "OSV-1",
    "summary": "a flaw",
    "affected": [
        {
            "package": {"name": "b", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}],
        }
    ],
}


class Advisories(BaseHTTPRequestHandler):
    """Answers as OSV does, with a vulnerability in `b` if `flaws` is set."""

    flaws = True

    def do_POST(self) -> None:
        """Answer one request."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        flawed = self.flaws and asked["package"]["name"] == "b"
        answer = json.dumps({"vulns": [FLAW]} if flawed else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class Sound(Advisories):
    """Has no advisories."""

    flaws = False


@pytest.fixture
def advisories(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the address of an advisory service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), request.param)
    Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def audit(url: str, *arguments: object) -> tuple[int, str, str]:
    """Run the script as make does."""
    command = [sys.executable, str(ROOT / "requirements/audit.py"), f"--osv-url={url}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """Return a lock of two packages."""
    (tmp_path / "two.lock").write_text(LOCK)
    return tmp_path / "two.lock"


@pytest.mark.parametrize("advisories", [Advisories], indirect=True)
def test_known_vulnerability_is_reported_with_its_remedy(advisories: str, lock: Path):
    """The package, the advisory, the fixed version and the command."""
    sentence = "two.lock: b 2.0 has OSV-1; mended in 2.1: make lock ARGS='--upgrade-package b'\n"
    assert audit(advisories, lock) == (1, sentence, "")


@pytest.mark.parametrize("advisories", [Sound], indirect=True)
def test_clean_lock_is_reported_with_the_number_of_packages(advisories: str, lock: Path):
    """So that an empty lock does not look like a clean one."""
    told = "two.lock: 2 packages, no known vulnerability\n"
    assert audit(advisories, "--answer-required", lock) == (0, told, "")


@pytest.mark.parametrize("required", [(), ("--answer-required",)])
def test_unreachable_service_is_one_sentence_and_no_failure(required: tuple[str, ...]):
    """All three locks, offline; only `--answer-required` changes the exit code."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        code, told, wrong = audit(url, *required)
    sentence = (
        "runner.lock: nothing is known, since {} could not be asked ({}); try again where it can be reached\n"
    )
    assert (code, told, wrong) == (2 if required else 0, sentence.format(url, "NewConnectionError"), "")

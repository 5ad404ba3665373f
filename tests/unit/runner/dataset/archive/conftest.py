"""A web server that fails on request, archives of all formats, and the dataset step as a real process."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_runner.contract import ENV_REQUEST
from qlib_shadow_runner.dataset.archive.credentials import Credentials
from qlib_shadow_runner.dataset.archive.fetch import RetryPolicy, fetch
from qlib_shadow_runner.dataset.archive.network_variables import NETWORK
from qlib_shadow_runner.dataset.archive.time_limit import TimeLimit
from qlib_shadow_runner.dataset.archive.url import ArchiveAddress
from qlib_shadow_runner.dataset.ensure import ensure
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.storage.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

Files = dict[str, bytes]
PIECE = 16_384


@dataclass(frozen=True)
class Answer:
    """The answer to one request; the default is that of a correct server."""

    status: int = 200
    cut_after: int | None = None
    """Bytes of the body before the connection is cut."""
    honours_range: bool = True
    tells_length: bool = True
    silent: bool = False
    held: bool = False
    """Whether it waits until the test lets it go on."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """One request as it came, and how many bytes of the body went out."""

    path: str
    range: str | None
    if_range: str | None
    authorization: str | None
    sent: int = 0
    """Counted before they are sent, so that the client's bytes are always counted."""


class Web(ThreadingHTTPServer):
    """Serves `files`; the next requests get the answers in `plan`, the rest good ones."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.files: Files = {}
        self.etags: dict[str, str] = {}
        self.plan: list[Answer] = []
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        self.go_on = threading.Event()
        self.guard = threading.Condition()

    @property
    def base(self) -> str:
        """Return the URL of the root."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def url(self, name: str, content: bytes | None = None) -> str:
        """Serve a file under a name."""
        if content is not None:
            self.files[f"/{name}"] = content
        return f"{self.base}/{name}"

    def will(self, **answer: Any) -> None:
        """Plan how the next request, after those planned already, is answered."""
        self.plan.append(Answer(**answer))

    def next_answer(self) -> Answer:
        """Take the next planned answer."""
        with self.guard:
            return self.plan.pop(0) if self.plan else Answer()

    def wait_for_request(self) -> None:
        """Wait for the first request."""
        with self.guard:
            assert self.guard.wait_for(lambda: self.asked, timeout=60)

    def handle_error(self, *_: object) -> None:
        """Log nothing: a client that was killed hangs up."""


class Page(BaseHTTPRequestHandler):
    """One request."""

    server: Web

    def do_GET(self) -> None:
        """Answer as planned."""
        answer, head = self.server.next_answer(), self.headers
        self.asked = Asked(self.path, head["Range"], head["If-Range"], head["Authorization"])
        with self.server.guard:
            self.server.asked.append(self.asked)
            self.server.guard.notify_all()
        if answer.held:
            self.server.go_on.wait()
        if answer.silent:
            self.server.closing.wait()
        else:
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        content = self.server.files.get(self.path.partition("?")[0])
        status = 404 if content is None and answer.status == 200 else answer.status
        if status != 200 or content is None:
            self._head(status, answer, {"Content-Length": "0"})
            return
        etag = self.server.etags.get(self.path.partition("?")[0], '"one"')
        start = self._start(answer, etag)
        if start is not None and start >= len(content):
            self._head(416, answer, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
            return
        headers = {"ETag": etag}
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start or 0 :]
        if answer.tells_length:
            headers["Content-Length"] = str(len(body))
        self._head(200 if start is None else 206, answer, headers)
        self._send(body if answer.cut_after is None else body[: answer.cut_after])

    def _start(self, answer: Answer, etag: str) -> int | None:
        wanted = self.headers["Range"]
        if not answer.honours_range or wanted is None or self.headers["If-Range"] not in (None, etag):
            return None
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def _head(self, status: int, answer: Answer, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, body: bytes) -> None:
        for offset in range(0, len(body), PIECE):
            piece = body[offset : offset + PIECE]
            self.asked.sent += len(piece)
            self.wfile.write(piece)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Log nothing."""


@pytest.fixture(autouse=True)
def plain_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxies and authorities of the machine that the tests run on."""
    for name in NETWORK:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def web() -> Iterator[Web]:
    """Run a server on this machine."""
    with Web() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.go_on.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def noise() -> bytes:
    """Return three megabytes that no compression shortens."""
    return random.Random(7).randbytes(3_000_000)


def sha256(content: bytes) -> str:
    """Hash as the spec wants it."""
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(name="sha256")
def sha256_fixture() -> Callable[[bytes], str]:
    """Lend the hash to tests."""
    return sha256


@dataclass
class Fetcher:
    """Fetches without ever waiting, and remembers how long it would have waited."""

    folder: Path
    rests: list[float] = field(default_factory=list)
    timeout: float = 20.0
    limit: TimeLimit = field(default_factory=lambda: TimeLimit(600))

    @property
    def partial(self) -> Path:
        """Say where the bytes go."""
        return self.folder / ".us.download-test"

    def __call__(self, url: str, digest: str, credentials: Credentials | None = None) -> bytes:
        """Fetch; give what arrived."""
        retry_policy = RetryPolicy(
            timeout=self.timeout, pause=self.rests.append, random_fraction=lambda: 1.0, limit=self.limit
        )
        fetch(
            ArchiveAddress(url),
            digest,
            self.partial,
            credentials=credentials or Credentials(),
            retry_policy=retry_policy,
        )
        return self.partial.read_bytes()


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    """Fetch into a folder of this test."""
    return Fetcher(tmp_path)


def files_of(folder: Path) -> Files:
    """Read a folder as an archive's content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def dataset_files(tmp_path: Path, make_dataset: Callable[..., Any]) -> Files:
    """Return the files of a small sound dataset."""
    folder = tmp_path / "packed"
    make_dataset(folder=folder)
    return files_of(folder)


def zipped(files: Files) -> bytes:
    """Pack a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def pack_zip() -> Callable[[Files], bytes]:
    """Pack zips."""
    return zipped


@pytest.fixture
def pack_tar() -> Callable[..., bytes]:
    """Pack tars; `extra` are members that no dataset has."""

    def pack(files: Files, compression: str = "gz", extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(mode=f"w:{compression}", fileobj=buffer) as archive:  # type: ignore[call-overload]
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            for info in extra:
                archive.addfile(info)
        return buffer.getvalue()

    return pack


@dataclass
class Step:
    """The dataset step, run as the stage runs it: another process on a volume."""

    volume: Path
    environ: dict[str, str] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)

    @property
    def canonical(self) -> Path:
        """Name the dataset."""
        return self.volume / "us_data_1d"

    @property
    def reports(self) -> Path:
        """Return a folder beside the volume, where a killed process may leave a partial report."""
        return self.volume.with_name("reports")

    def start(self, source: Mapping[str, object], **dataset: object) -> subprocess.Popen[str]:
        """Start it and do not wait."""
        report = self.reports / f"{random.random()}.json"
        spec = {"dataset": {"source": source, **dataset}}
        arguments = json.dumps({"canonical": str(self.canonical), "mount": str(self.volume)})
        command = [
            sys.executable,
            "-P",
            "-m",
            "qlib_shadow_runner.stages.steps",
            "dataset",
            arguments,
            str(report),
        ]
        process = subprocess.Popen(
            command,
            env=self._environ(spec),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        process.report = report  # type: ignore[attr-defined]
        return process

    def finish(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Wait for it and read its report; a killed process has none."""
        output, _ = process.communicate(timeout=120)
        self.outputs.append(output)
        report: Path = process.report  # type: ignore[attr-defined]
        found: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
        return found

    def run(self, source: Mapping[str, object], **dataset: object) -> dict[str, Any]:
        """Run it to its end."""
        return self.finish(self.start(source, **dataset))

    def here(self, source: Mapping[str, object], **dataset: object) -> Path:
        """Run the step in this process, where it is never killed."""
        spec = parse_spec({"dataset": {"source": source, **dataset}}).dataset.at(Volume(self.volume))
        return ensure(self.canonical, spec).folder

    def _environ(self, spec: Mapping[str, object]) -> dict[str, str]:
        base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        request = json.dumps({"runId": "nightly-1", "namespace": "research", "spec": spec})
        return {**base, ENV_REQUEST: request, **self.environ}


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """Run the step on a fresh volume."""
    found = Step(tmp_path / "volume")
    found.volume.mkdir()
    found.reports.mkdir()
    return found

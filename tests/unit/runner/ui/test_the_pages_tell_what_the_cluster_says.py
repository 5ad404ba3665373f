"""`qlib-shadow ui --resources`: runs that have left nothing, from an API server that may answer anything."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request
from tests.unit.runner.catalog.volumes import SmallVolume

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ui import api_server as asking
from qlib_shadow_runner.ui.api_server import PAGES, RunApi, UnreachableError
from qlib_shadow_runner.ui.app import Pages
from qlib_shadow_runner.ui.resources import PAUSE, UNSEEN, Resource, ResourceListing
from qlib_shadow_runner.ui.run_table import RunTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RUNS = "/apis/qlibshadow.io/v1alpha1/namespaces/research/qlibshadowruns?limit=500"
FORBIDDEN = {"kind": "Status", "message": 'qlibshadowruns is forbidden: User "x" cannot list'}


@dataclass
class Server:
    """An API server of which each answer is given beforehand."""

    api: RunApi
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and authorization of each request."""

    def set_answer(self, document: object, status: int = 200) -> None:
        """Give the next answer, which is repeated when there is no other."""
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answers.append((status, text))


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make what a pod finds of its account, and the server's key."""
    folder = tmp_path_factory.mktemp("account")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    names = ("-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1")
    command = ["openssl", "req", "-x509", *key, *names, "-keyout", "server.key", "-out", "ca.crt"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "namespace").write_text("research")
    return folder


@pytest.fixture
def server(account: Path) -> Iterator[Server]:
    """Listen, with TLS."""
    (account / "token").write_text("first")
    with listening(account, lambda port: RunApi("127.0.0.1", port, "research", account)) as found:
        yield found


@contextmanager
def listening(account: Path, api: Callable[[int], RunApi]) -> Iterator[Server]:
    """Answer until the end of the test."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.asked.append((self.path, self.headers["Authorization"]))
            status, text = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Location", "https://elsewhere.invalid/")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that do not trust it."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(account / "ca.crt", account / "server.key")
        http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
        found = Server(api(http.server_address[1]))
        thread = Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield found
        http.shutdown()
        thread.join()


def resource(name: str, uid: str = "", **status: object) -> dict[str, Any]:
    """Give a resource as the API has it."""
    metadata = {"name": name, "namespace": "research", "uid": uid or f"uid-of-{name}"}
    return {"metadata": {**metadata, "creationTimestamp": "2026-11-20T10:00:00Z"}, "status": status}


def listed(*items: object, mark: str = "") -> dict[str, Any]:
    """Give a page of the list."""
    return {"metadata": {"continue": mark} if mark else {}, "items": list(items)}


def shown(pages: Pages, query: str = "") -> str:
    """Ask for the list of runs, as a browser does."""
    answer = pages.runs(Request({"type": "http", "query_string": query.encode(), "headers": []}))
    return bytes(answer.body).decode()


@pytest.fixture
def volume(tmp_path: Path) -> SmallVolume:
    """Give a volume with one run."""
    small = SmallVolume(tmp_path / "data")
    small.add_run("nightly-1", 40)
    return small


def test_runs_without_a_folder_are_listed_too(volume: SmallVolume, server: Server):
    """By their resources, page by page; one with a folder appears once, with both words where they differ."""
    queued = {"name": "download", "reason": "Unschedulable", "message": "No node has <b>8 CPUs</b>."}
    refused = {"type": "Failed", "status": "True", "reason": "InvalidSpec", "message": "benchmark is unknown"}
    first = resource("queued", phase="Pending", stages=[queued])
    known = resource("nightly", "uid-of-nightly-1", phase="Running", runId="nightly-1")
    server.set_answer(listed(first, known, mark="more/1"))
    server.set_answer(listed(resource("refused", phase="Failed", runId="refused-7", conditions=[refused])))
    pages = Pages(RunTable(volume.volume), ResourceListing(server.api))
    text = shown(pages)
    assert server.asked == [(RUNS, "Bearer first"), (f"{RUNS}&continue=more%2F1", "Bearer first")]
    assert text.count("nightly-1</a>") == 1
    assert "Running in the cluster" in text
    assert '<th scope="row">queued</th>' in text
    assert "No node has &lt;b&gt;8 CPUs&lt;/b&gt;." in text
    assert '<th scope="row">refused-7</th>' in text
    assert "benchmark is unknown" in text
    assert "3 of 3 runs" in text
    assert "1 of 3 runs" in shown(pages, "status=pending")
    assert "1 of 3 runs" in shown(pages, "q=unknown")
    assert len(server.asked) == 2, "many pages, one question"


def test_the_page_of_a_run_says_what_its_resource_says(volume: SmallVolume, server: Server):
    """Beside what its folder says."""
    done = {
        "type": "Complete",
        "status": "True",
        "reason": "Succeeded",
        "message": "IC 0.034, says the cluster",
    }
    server.set_answer(listed(resource("nightly", "uid-of-nightly-1", phase="Complete", conditions=[done])))
    pages = Pages(RunTable(volume.volume), ResourceListing(server.api))
    scope = {"type": "http", "query_string": b"", "headers": [], "path_params": {"run_id": "nightly-1"}}
    text = bytes(pages.run(Request(scope)).body).decode()
    assert "In the cluster: research/nightly" in text
    assert "IC 0.034, says the cluster" in text


@pytest.mark.parametrize(
    ("document", "status", "said"),
    [
        (FORBIDDEN, 403, 'answered 403: qlibshadowruns is forbidden: User "x" cannot list'),
        ({}, 500, "answered 500: Internal Server Error"),
        ({}, 302, "answered 302: Found"),
        (b"<html>a proxy</html>", 200, "something else than a list of runs"),
        (b"\xff\xfe", 200, "something else than a list of runs"),
        ([], 200, "something else than a list of runs"),
        ({"items": None, "metadata": {}}, 200, "something else than a list of runs"),
        ({"items": []}, 200, "something else than a list of runs"),
    ],
)
def test_what_goes_wrong_is_one_sentence(server: Server, document: object, status: int, said: str):
    """Whatever the server answers; a redirect is not followed, since the token would go with it."""
    server.set_answer(document, status)
    with pytest.raises(UnreachableError) as error:
        server.api.resources()
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert len(server.asked) == 1


def test_more_than_anybody_looks_through_is_told(server: Server):
    """Rather than a part of them, as if it were all."""
    for number in range(PAGES):
        server.set_answer(listed(resource(f"run-{number}"), mark=f"more-{number}"))
    with pytest.raises(
        UnreachableError, match=r"more than 10,000 QlibShadowRuns in research.*ttlSecondsAfter"
    ):
        server.api.resources()
    assert len(server.asked) == PAGES


def test_a_server_that_cannot_be_trusted_is_told_nothing(server: Server, account: Path, tmp_path: Path):
    """Its certificate is not of the cluster's CA, so that it never sees the token; nor one that is gone."""
    other = tmp_path / "other"
    other.mkdir()
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-days", "2"]
    subprocess.run([*command, "-keyout", "key", "-out", "ca.crt"], cwd=other, check=True, capture_output=True)
    (other / "token").write_text((account / "token").read_text())
    for api in (
        replace(server.api, account=other),
        replace(server.api, port=1),
        replace(server.api, account=tmp_path),
    ):
        with pytest.raises(UnreachableError, match="cannot be asked"):
            api.resources()
    assert server.asked == []


def test_a_server_that_says_nothing_is_not_waited_for(account: Path, monkeypatch: pytest.MonkeyPatch):
    """A page has its time."""
    monkeypatch.setattr(asking, "SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = RunApi("127.0.0.1", silent.getsockname()[1], "research", account)
        with pytest.raises(UnreachableError, match="timed out"):
            api.resources()


def test_what_was_known_is_shown_while_nobody_answers(volume: SmallVolume, server: Server, account: Path):
    """Under a sentence, and the server is left alone for a while; then it is asked with the newest token."""
    now = [0.0]
    pages = Pages(RunTable(volume.volume), ResourceListing(server.api, clock=lambda: now[0]))
    server.set_answer(listed(resource("queued", phase="Pending")))
    server.set_answer(FORBIDDEN, 403)
    assert "banner" not in shown(pages)
    for later in (5.0, 5.0 + PAUSE / 2):
        now[0] = later
        text = shown(pages)
        assert "What the cluster says may be old: the API server answered 403" in text
        assert "queued" in text
        assert "nightly-1" in text
    assert len(server.asked) == 2
    (account / "token").write_text("second")
    server.answers[:] = [(200, json.dumps(listed()).encode())]
    now[0] = 5.0 + PAUSE
    assert "banner" not in shown(pages)
    assert server.asked[-1] == (RUNS, "Bearer second")


@pytest.mark.parametrize(
    ("document", "phase", "message"),
    [
        ({"metadata": {"name": "a", "uid": "1"}}, "Pending", UNSEEN),
        ({"metadata": {"name": "a", "uid": "1"}, "status": "odd"}, "Pending", UNSEEN),
        ({"metadata": {"name": "a", "uid": "1"}, "status": {"phase": 7, "stages": [1, {}]}}, "Pending", None),
        (
            {"metadata": {"name": "a", "uid": "1"}, "status": {"phase": "Failed", "conditions": 3}},
            "Failed",
            None,
        ),
    ],
)
def test_whatever_a_resource_holds_it_is_read(document: dict[str, Any], phase: str, message: str | None):
    """What has another shape than promised is left out."""
    found = Resource.of(document)
    assert found is not None
    assert (found.phase, found.message) == (phase, message)


@pytest.mark.parametrize(
    "document", [{}, {"metadata": None}, {"metadata": {"name": "a"}}, {"metadata": {"uid": 1}}]
)
def test_what_has_no_name_is_none(document: dict[str, Any]):
    """And is not listed."""
    assert Resource.of(document) is None


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"KUBERNETES_SERVICE_HOST": ""},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "x"},
    ],
)
def test_outside_of_a_pod_it_says_so(environ: dict[str, str], account: Path, tmp_path: Path):
    """Without the variables that every pod has, or without an account."""
    whole = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert RunApi.of_pod(whole, account) == RunApi("10.0.0.1", 6443, "research", account)
    for given, where in ((environ, account), (whole, tmp_path)):
        with pytest.raises(StageError, match="this is no pod with a service account"):
            RunApi.of_pod(given, where)


def test_the_command_refuses_it_on_a_laptop(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With a code and one sentence, before anything is served."""
    (tmp_path / "artifacts").mkdir()
    assert main(["ui", "--resources", "--data", str(tmp_path)]) == 10
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "Leave it out" in said.err

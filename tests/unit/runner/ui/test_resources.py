"""`qlib-shadow ui --resources`: the resources of a cluster, whatever the API server answers."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request
from tests.unit.runner.catalog.volumes import SmallVolume

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ui import api_server
from qlib_shadow_runner.ui.api_server import PAGES_MAX, RunApi, UnreachableError
from qlib_shadow_runner.ui.app import Pages
from qlib_shadow_runner.ui.book_table import BookTable
from qlib_shadow_runner.ui.nights_pages import NightsPages
from qlib_shadow_runner.ui.resources import NOT_RECONCILED, RETRY_SECONDS, Resource, ResourceListing
from qlib_shadow_runner.ui.run_table import RunTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RUNS = "/apis/qlibshadow.io/v1alpha1/namespaces/research/qlibshadowruns?limit=500"
FORBIDDEN = {"kind": "Status", "message": 'qlibshadowruns is forbidden: User "x" cannot list'}


@dataclass
class Server:
    """An API server with prepared answers."""

    api: RunApi
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and authorization of each request."""

    def set_answer(self, document: object, status: int = 200) -> None:
        """Add an answer; the last one is repeated."""
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answers.append((status, text))


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the files of a pod's account, and the server's key."""
    folder = tmp_path_factory.mktemp("account")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    names = ("-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1")
    command = ["openssl", "req", "-x509", *key, *names, "-keyout", "server.key", "-out", "ca.crt"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "namespace").write_text("research")
    return folder


@pytest.fixture
def server(account: Path) -> Iterator[Server]:
    """Start the server, with TLS."""
    (account / "token").write_text("first")
    with listening(account, lambda port: RunApi("127.0.0.1", port, "research", account)) as found:
        yield found


@contextmanager
def listening(account: Path, api: Callable[[int], RunApi]) -> Iterator[Server]:
    """Run the server until the end of the test."""

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
            """Log nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Ignore clients that reject the certificate."""

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
    """Return a resource as the API returns it."""
    metadata = {"name": name, "namespace": "research", "uid": uid or f"uid-of-{name}"}
    return {"metadata": {**metadata, "creationTimestamp": "2026-11-20T10:00:00Z"}, "status": status}


def listed(*items: object, continue_token: str = "") -> dict[str, Any]:
    """Return a page of the list."""
    return {"metadata": {"continue": continue_token} if continue_token else {}, "items": list(items)}


def shown(pages: Pages, query: str = "") -> str:
    """Return the page with the list of runs."""
    answer = pages.runs(Request({"type": "http", "query_string": query.encode(), "headers": []}))
    return bytes(answer.body).decode()


@pytest.fixture
def volume(tmp_path: Path) -> SmallVolume:
    """Return a volume with one run."""
    small = SmallVolume(tmp_path / "data")
    small.add_run("nightly-1", 40)
    return small


def test_runs_without_a_folder_are_listed(volume: SmallVolume, server: Server):
    """A run with a folder is listed once, with both states where they differ."""
    queued = {"name": "download", "reason": "Unschedulable", "message": "No node has <b>8 CPUs</b>."}
    refused = {"type": "Failed", "status": "True", "reason": "InvalidSpec", "message": "benchmark is unknown"}
    first = resource("queued", phase="Pending", stages=[queued])
    known = resource("nightly", "uid-of-nightly-1", phase="Running", runId="nightly-1")
    server.set_answer(listed(first, known, continue_token="more/1"))
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
    assert len(server.asked) == 2, "many pages cost one list"


def test_the_first_page_says_what_waits_and_what_was_refused(volume: SmallVolume, server: Server):
    """A run that was refused has left no folder, and needs a person; one of last week is only in the list."""
    refused = {"type": "Failed", "status": "True", "reason": "InvalidSpec", "message": "benchmark <b>?"}
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    documents = [
        resource("queued", phase="Pending"),
        resource("refused", "uid-2", phase="Failed", conditions=[refused]),
        resource("earlier", "uid-3", phase="Failed", conditions=[refused]),
    ]
    documents[1]["metadata"]["creationTimestamp"] = now
    server.set_answer(listed(*documents))
    pages = NightsPages(RunTable(volume.volume), ResourceListing(server.api), BookTable(volume.volume))
    answer = pages.morning(Request({"type": "http", "query_string": b"", "headers": []}))
    text = bytes(answer.body).decode()
    assert "1 waiting in the cluster" in text
    said = re.findall(r'<span class="of">([a-z]+)</span> <span class="why-not">([^<]*)</span>', text)
    assert said == [("refused", "InvalidSpec · benchmark &lt;b&gt;?")]
    assert "earlier" not in text


def test_page_of_a_run_shows_its_resource(volume: SmallVolume, server: Server):
    """Beside the state from its folder."""
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
    ("document", "status", "sentence"),
    [
        (FORBIDDEN, 403, 'answered 403: qlibshadowruns is forbidden: User "x" cannot list'),
        ({}, 500, "answered 500: Internal Server Error"),
        ({}, 302, "answered 302: Found"),
        (b"<html>a proxy</html>", 200, "something other than a list of runs"),
        (b"\xff\xfe", 200, "something other than a list of runs"),
        ([], 200, "something other than a list of runs"),
        ({"items": None, "metadata": {}}, 200, "something other than a list of runs"),
        ({"items": []}, 200, "something other than a list of runs"),
    ],
)
def test_wrong_answer_is_one_sentence(server: Server, document: object, status: int, sentence: str):
    """A redirect is not followed, because the token would be sent there."""
    server.set_answer(document, status)
    with pytest.raises(UnreachableError) as error:
        server.api.resources()
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert len(server.asked) == 1


def test_too_many_resources_are_an_error(server: Server):
    """A part of them is not shown as if it were all."""
    for number in range(PAGES_MAX):
        server.set_answer(listed(resource(f"run-{number}"), continue_token=f"more-{number}"))
    with pytest.raises(
        UnreachableError, match=r"more than 10,000 QlibShadowRuns in research.*ttlSecondsAfter"
    ):
        server.api.resources()
    assert len(server.asked) == PAGES_MAX


def test_token_is_not_sent_to_an_untrusted_server(server: Server, account: Path, tmp_path: Path):
    """Its certificate is not from the cluster's CA; a server that is gone is an error too."""
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
        with pytest.raises(UnreachableError, match="cannot be reached"):
            api.resources()
    assert server.asked == []


def test_server_that_does_not_answer_times_out(account: Path, monkeypatch: pytest.MonkeyPatch):
    """Because a page waits for it."""
    monkeypatch.setattr(api_server, "TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = RunApi("127.0.0.1", silent.getsockname()[1], "research", account)
        with pytest.raises(UnreachableError, match="timed out"):
            api.resources()


def test_last_list_is_shown_while_the_server_does_not_answer(
    volume: SmallVolume, server: Server, account: Path
):
    """With the reason; the server is asked again later, with the newest token."""
    now = [0.0]
    pages = Pages(RunTable(volume.volume), ResourceListing(server.api, clock=lambda: now[0]))
    server.set_answer(listed(resource("queued", phase="Pending")))
    server.set_answer(FORBIDDEN, 403)
    assert "banner" not in shown(pages)
    for later in (5.0, 5.0 + RETRY_SECONDS / 2):
        now[0] = later
        text = shown(pages)
        assert "The state in the cluster may be out of date: the API server answered 403" in text
        assert "queued" in text
        assert "nightly-1" in text
    assert len(server.asked) == 2
    (account / "token").write_text("second")
    server.answers[:] = [(200, json.dumps(listed()).encode())]
    now[0] = 5.0 + RETRY_SECONDS
    assert "banner" not in shown(pages)
    assert server.asked[-1] == (RUNS, "Bearer second")


@pytest.mark.parametrize(
    ("document", "phase", "message"),
    [
        ({"metadata": {"name": "a", "uid": "1"}}, "Pending", NOT_RECONCILED),
        ({"metadata": {"name": "a", "uid": "1"}, "status": "odd"}, "Pending", NOT_RECONCILED),
        ({"metadata": {"name": "a", "uid": "1"}, "status": {"phase": 7, "stages": [1, {}]}}, "Pending", None),
        (
            {"metadata": {"name": "a", "uid": "1"}, "status": {"phase": "Failed", "conditions": 3}},
            "Failed",
            None,
        ),
    ],
)
def test_resource_with_unexpected_values_is_parsed(document: dict[str, Any], phase: str, message: str | None):
    """A value of an unexpected type is left out."""
    found = Resource.of(document)
    assert found is not None
    assert (found.phase, found.message) == (phase, message)


@pytest.mark.parametrize(
    "document", [{}, {"metadata": None}, {"metadata": {"name": "a"}}, {"metadata": {"uid": 1}}]
)
def test_resource_without_name_or_uid_is_ignored(document: dict[str, Any]):
    """It is not listed."""
    assert Resource.of(document) is None


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"KUBERNETES_SERVICE_HOST": ""},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "x"},
    ],
)
def test_outside_of_a_pod_it_is_an_error(environ: dict[str, str], account: Path, tmp_path: Path):
    """Without the variables that every pod has, or without an account."""
    whole = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert RunApi.of_pod(whole, account) == RunApi("10.0.0.1", 6443, "research", account)
    for given, where in ((environ, account), (whole, tmp_path)):
        with pytest.raises(StageError, match="this is not a pod with a service account"):
            RunApi.of_pod(given, where)


def test_command_rejects_it_outside_of_a_pod(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With one sentence, before anything is served."""
    (tmp_path / "artifacts").mkdir()
    assert main(["ui", "--resources", "--data", str(tmp_path)]) == 10
    sentence = capsys.readouterr()
    assert (sentence.out, sentence.err.count("\n")) == ("", 1)
    assert "Leave it out" in sentence.err

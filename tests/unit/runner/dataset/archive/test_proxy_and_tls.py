"""A real https server with a private authority, behind a real proxy with a password.

No DNS server knows the host's name, so a successful request proves that the proxy was used.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_runner.contract import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.unit.runner.dataset.archive.conftest import Fetcher, Files, Step, Web

HOST = "archive.test"
TOKEN, SIGNATURE, PASSWORD = "sesame-4711", "signed-2342", "tunnel-0815"
SECRETS = (TOKEN, SIGNATURE, PASSWORD, base64.b64encode(f"me:{PASSWORD}".encode()).decode())
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an authority of our own, and a certificate that it signed for the host."""
    folder = tmp_path_factory.mktemp("authority")
    root = ("-subj", "/CN=private", "-keyout", "ca.key", "-out", "ca.pem")
    server = ("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-CA", "ca.pem")
    files = ("-CAkey", "ca.key", "-keyout", "server.key", "-out", "server.pem")
    leaf = ("-addext", "basicConstraints=critical,CA:FALSE")
    for words in (root, (*server, *files, *leaf)):
        command = ["openssl", "req", "-x509", *NEW_KEY, *words]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def secure(web: Web, authority: Path) -> Web:
    """Let the server speak TLS only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    web.socket = context.wrap_socket(web.socket, server_side=True, do_handshake_on_connect=False)
    return web


class Proxy(ThreadingTCPServer):
    """Tunnels every host to one port, for clients with the right password."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.target = target
        self.asked: list[str] = []
        """The first line of each request."""

    def url(self, password: str = PASSWORD) -> str:
        """Return the value of HTTPS_PROXY."""
        return f"http://me:{password}@127.0.0.1:{self.server_address[1]}"


class Tunnel(StreamRequestHandler):
    """One CONNECT."""

    server: Proxy

    def handle(self) -> None:
        """Check the password, then pass on what comes from either side."""
        self.server.asked.append(self.rfile.readline().decode().strip())
        headers = http.client.parse_headers(self.rfile)
        if headers.get("Proxy-Authorization") != f"Basic {SECRETS[-1]}":
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.target)) as far:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(far, self.connection))
            back.start()
            pump(self.connection, far)
            back.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on until one side hangs up."""
    with contextlib.suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(secure: Web) -> Iterator[Proxy]:
    """Run a proxy in front of the server."""
    with Proxy(secure.server_address[1]) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Delivery:
    """A dataset on the server, as each of the two sources asks for it."""

    content: bytes
    sources: Mapping[str, dict[str, object]]


@pytest.fixture
def delivery(
    secure: Web,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
) -> Delivery:
    """Put it there under both names."""
    content = pack_zip(dataset_files)
    secure.url("us.zip", content)
    secure.url("v2/qlib_data_us_1d_latest.zip", content)
    url = f"https://{HOST}/us.zip?X-Signature={SIGNATURE}"
    archive = {"url": url, "sha256": sha256(content)}
    return Delivery(content, {"archive": {"archive": archive}, "qlib": {"qlib": {"url": f"https://{HOST}"}}})


def everything(step: Step) -> bytes:
    """Read all that a run leaves: its output and every file on the volume."""
    files = [path for path in step.volume.rglob("*") if path.is_file()]
    return "".join(step.outputs).encode() + b"".join(str(path).encode() + path.read_bytes() for path in files)


def process_list() -> bytes:
    """Read the command lines that every user of this machine can see."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            lines.append(path.read_bytes())
    return b"\n".join(lines)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("kind", ["archive", "qlib"])
def test_usual_variables_set_proxy_and_authority_without_leaking(
    *, kind: str, variable: str, step: Step, secure: Web, proxy: Proxy, delivery: Delivery, authority: Path
):
    """No secret is in the log, on the volume or in the process list."""
    step.environ = {
        variable: str(authority / "ca.pem"),
        "HTTPS_PROXY": proxy.url(),
        "NO_PROXY": "localhost,10.0.0.0/8",
        "QLIB_SHADOW_ARCHIVE_TOKEN": TOKEN,
    }
    secure.will(held=True)
    process = step.start(delivery.sources[kind])
    secure.wait_for_request()
    listed = process_list()
    secure.go_on.set()
    found = step.finish(process)
    assert "folder" in found, (found, step.outputs)
    assert {line.rpartition(" ")[0] for line in proxy.asked} == {f"CONNECT {HOST}:443"}
    assert {one.authorization for one in secure.asked} == {f"Bearer {TOKEN}" if kind == "archive" else None}
    assert b"qlib_shadow_runner.stages.steps" in listed
    for secret in SECRETS:
        assert secret.encode() not in listed
        assert secret.encode() not in everything(step)


@pytest.mark.parametrize("kind", ["archive", "qlib"])
def test_unknown_authority_is_refused_with_the_remedy(
    kind: str, step: Step, proxy: Proxy, delivery: Delivery
):
    """It is not retried."""
    step.environ = {"HTTPS_PROXY": proxy.url()}
    found = step.run(delivery.sources[kind])
    assert found["reason"] == Reason.DOWNLOAD_REFUSED
    assert "set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to its certificates" in found["message"]


@pytest.mark.parametrize("kind", ["archive", "qlib"])
def test_wrong_proxy_password_is_reported(
    *, kind: str, step: Step, proxy: Proxy, delivery: Delivery, authority: Path
):
    """The error does not show the wrong password."""
    step.environ = {"SSL_CERT_FILE": str(authority / "ca.pem"), "HTTPS_PROXY": proxy.url("wrong-1234")}
    found = step.run(delivery.sources[kind])
    assert found["reason"] == Reason.DOWNLOAD_REFUSED
    assert "The proxy wants credentials: put them into HTTPS_PROXY" in found["message"]
    assert b"wrong-1234" not in everything(step)


def test_no_proxy_variable_bypasses_the_proxy(
    *,
    secure: Web,
    fetcher: Fetcher,
    proxy: Proxy,
    delivery: Delivery,
    authority: Path,
    sha256: Callable[[bytes], str],
    monkeypatch: pytest.MonkeyPatch,
):
    """The name is looked up locally, and the server is asked directly."""
    real = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == HOST else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url())
    monkeypatch.setenv("NO_PROXY", f"localhost,{HOST}")
    url = f"https://{HOST}:{secure.server_address[1]}/us.zip"
    assert fetcher(url, sha256(delivery.content)) == delivery.content
    assert proxy.asked == []


def test_qlib_command_respects_no_proxy(step: Step, proxy: Proxy, delivery: Delivery):
    """Only the proxy knows the host's name, and it is not asked."""
    step.environ = {"HTTPS_PROXY": proxy.url(), "NO_PROXY": HOST}
    assert step.run(delivery.sources["qlib"])["reason"] == Reason.DOWNLOAD_FAILED
    assert proxy.asked == []

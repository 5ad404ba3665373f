"""Every download error has a reason and a remedy; only temporary errors are retried."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.runner.dataset.archive.conftest import Fetcher, Web

    Sha = Callable[[bytes], str]

ANY = "0" * 64


def failure(fetcher: Fetcher, url: str, digest: str = ANY) -> StageError:
    """Fetch what cannot be fetched."""
    with pytest.raises(StageError) as caught:
        fetcher(url, digest)
    return caught.value


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "Name a Secret with username and password, or token"),
        (403, "a signed URL may have expired"),
        (404, "Correct the URL"),
        (410, "gone for good"),
        (400, "Ask the server's owner, or name another URL"),
    ],
)
def test_client_error_is_not_retried(status: int, advice: str, web: Web, fetcher: Fetcher):
    """One request, one sentence."""
    web.will(status=status)
    error = failure(fetcher, web.url("us.zip", b""))
    assert error.reason is Reason.DOWNLOAD_REFUSED
    assert error.exit_code is ExitCode.BAD_CONFIG
    assert f"{web.base}/us.zip: the server answered {status}. " in error.message
    assert advice in error.message
    assert len(web.asked) == 1


def test_wrong_checksum_error_names_both_checksums(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """The wrong file is not kept."""
    error = failure(fetcher, web.url("us.zip", noise))
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert error.exit_code is ExitCode.BAD_DATA
    assert error.message == (
        f"{web.base}/us.zip has the SHA-256 {sha256(noise)} (2.9 MiB), not {ANY}. "
        "Correct spec.dataset.source.archive.sha256 if this file is meant, else find out who changed it."
    )
    assert not list(fetcher.folder.glob(".us.download-*"))
    assert len(web.asked) == 1


def test_truncated_download_error_shows_both_sizes(web: Web, fetcher: Fetcher, noise: bytes):
    """And how much was to come."""
    for _ in range(9):
        web.will(cut_after=1 << 20, honours_range=False)
    error = failure(fetcher, web.url("us.zip", noise))
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert "the line was cut after 1.0 MiB of 2.9 MiB" in error.message


def test_silent_server_times_out(web: Web, fetcher: Fetcher):
    """No request waits for ever."""
    fetcher.timeout = 0.05
    for _ in range(5):
        web.will(silent=True)
    error = failure(fetcher, web.url("us.zip", b""))
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert "the server did not answer in time" in error.message


def test_refused_connection_is_retried(fetcher: Fetcher):
    """A server that restarts is given time."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/us.zip"
        error = failure(fetcher, url)
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert "127.0.0.1 refused the connection" in error.message


def test_dns_failure_is_retried(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch):
    """DNS may recover."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure(fetcher, "https://archive.invalid/us.zip")
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert "the name archive.invalid was not found (DNS)" in error.message


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a self-signed certificate."""
    path = tmp_path / "server.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    names = [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(path),
        "-out",
        str(tmp_path / "cert.pem"),
    ]
    subprocess.run([*command, *names], check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "cert.pem").read_text())
    return path


@pytest.fixture
def tls_port(certificate: Path) -> int:
    """Shake hands over TLS, as far as the client goes along, and answer 404."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            raw, _ = listener.accept()
            with raw:
                try:
                    with context.wrap_socket(raw, server_side=True) as line:
                        line.recv(65_536)
                        line.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                except OSError:
                    return

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


def test_untrusted_certificate_error_gives_the_remedy(tls_port: int, fetcher: Fetcher):
    """Trying again would not help."""
    error = failure(fetcher, f"https://localhost:{tls_port}/us.zip")
    assert error.reason is Reason.DOWNLOAD_REFUSED
    assert "the certificate of localhost is not trusted (self-signed certificate)" in error.message
    assert "SSL_CERT_FILE or REQUESTS_CA_BUNDLE" in error.message


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_private_authority_is_trusted_by_the_usual_variables(
    variable: str, tls_port: int, certificate: Path, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
):
    """The handshake succeeds, and the 404 behind it arrives."""
    monkeypatch.setenv(variable, str(certificate))
    error = failure(fetcher, f"https://localhost:{tls_port}/us.zip")
    assert "the server answered 404" in error.message


def test_missing_certificate_bundle_is_named(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch):
    """The user must correct a typo in a variable."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    error = failure(fetcher, "https://localhost/us.zip")
    assert error.reason is Reason.INVALID_SPEC
    assert "REQUESTS_CA_BUNDLE is /nowhere/ca.pem" in error.message


def test_proxy_is_used_and_its_refusal_is_reported(
    web: Web, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
):
    """The server here knows no CONNECT: 501 is what a proxy that cannot would say."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://someone:hidden@127.0.0.1:{web.server_address[1]}")
    error = failure(fetcher, "https://archive.invalid/us.zip")
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert "the proxy answered 501" in error.message
    assert "hidden" not in error.message


def test_redirect_to_plain_http_is_not_followed(web: Web, fetcher: Fetcher):
    """Https must not end as http somewhere else."""
    web.will(status=302, headers={"Location": "http://example.com/us.zip"})
    error = failure(fetcher, web.url("us.zip"))
    assert error.reason is Reason.DOWNLOAD_REFUSED
    assert "redirects to http://example.com, and only https is followed" in error.message


def test_file_larger_than_the_disk_is_not_fetched(
    web: Web, small_volume: Path, fetcher: Fetcher, noise: bytes
):
    """The length is known before the first byte."""
    fetcher.folder = small_volume
    error = failure(fetcher, web.url("us.zip", noise * 4))
    assert error.reason is Reason.OUT_OF_DISK
    assert "the rest of us.zip needs 11.4 MiB, but" in error.message
    assert not list(small_volume.iterdir())


def test_partial_file_is_removed_when_the_disk_is_full(
    web: Web, small_volume: Path, fetcher: Fetcher, noise: bytes
):
    """Without a length it is noticed late; the part is removed, because other runs share the volume."""
    fetcher.folder = small_volume
    web.will(tells_length=False)
    error = failure(fetcher, web.url("us.zip", noise * 4))
    assert error.reason is Reason.OUT_OF_DISK
    assert error.exit_code is ExitCode.OUT_OF_DISK
    assert "us.zip tells no size, and after 7." in error.message
    assert not list(small_volume.iterdir())

"""A server that is slow, or never ends, is given up: over https, by each part of an answer."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import ENV_DEADLINE_SECONDS, Reason
from qlib_shadow_runner.dataset.archive.time_limit import TimeLimit, download_seconds
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.runner.dataset.archive.conftest import Fetcher, Step, Web

OK = b"HTTP/1.1 200 OK\r\n"
KNOWN = OK + b"Content-Length: 1000000\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ANY = "0" * 64
Answer = Callable[[], Iterator[bytes]]


def slowly(piece: bytes, every: float = 0.02) -> Iterator[bytes]:
    """Send the same again and again."""
    while True:
        yield piece
        time.sleep(every)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for this machine, which is its own authority."""
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command.split(), *names, *files], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def serve(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], str]]:
    """Answer each request over TLS by the pieces of a generator, as long as the client takes them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    listener = socket.create_server(("127.0.0.1", 0))

    def one(raw: socket.socket, answer: Answer) -> None:
        with raw, contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as line:
            line.recv(65_536)
            for piece in answer():
                line.sendall(piece)

    def accept(answer: Answer) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = listener.accept()
                threading.Thread(target=one, args=(raw, answer), daemon=True).start()

    def start(answer: Answer) -> str:
        threading.Thread(target=accept, args=(answer,), daemon=True).start()
        return f"https://localhost:{listener.getsockname()[1]}/us.zip"

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def failure(fetcher: Fetcher, url: str, limit: TimeLimit) -> StageError:
    """Fetch what does not come within the limit."""
    fetcher.limit = limit
    with pytest.raises(StageError) as caught:
        fetcher(url, ANY)
    return caught.value


TRICKLES: dict[str, Answer] = {
    "body": lambda: itertools.chain([KNOWN], slowly(b"x")),
    "body in chunks": lambda: itertools.chain([CHUNKED], slowly(b"1\r\nx\r\n")),
    "size of a chunk": lambda: itertools.chain([CHUNKED], slowly(b"0")),
    "end of the chunks": lambda: itertools.chain([CHUNKED, b"0\r\n"], slowly(b"X: y\r\n")),
}


@pytest.mark.parametrize("answer", TRICKLES.values(), ids=TRICKLES)
def test_server_that_sends_too_slowly_is_given_up(
    answer: Answer, fetcher: Fetcher, serve: Callable[[Answer], str]
):
    """Each byte comes before the socket's timeout, and still nothing arrives."""
    error = failure(fetcher, serve(answer), TimeLimit(60, window=0.1))
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert "us.zip: the server sends less than 1 KiB a second. Nothing more arrived in 5 att" in error.message


def test_headers_that_come_too_slowly_are_given_up(fetcher: Fetcher, serve: Callable[[Answer], str]):
    """One byte at a time would take hours."""
    error = failure(
        fetcher, serve(lambda: itertools.chain([OK], slowly(b"x"))), TimeLimit(60, head_seconds=0.1)
    )
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert "the server did not answer in time" in error.message


def test_headers_without_an_end_are_given_up(fetcher: Fetcher, serve: Callable[[Answer], str]):
    """Python's http.client reads `100 Continue` for as long as it comes."""
    error = failure(
        fetcher, serve(lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)), TimeLimit(60)
    )
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert "headers without an end" in error.message


ENDLESS: dict[str, Answer] = {
    "fast enough to go on": lambda: itertools.chain([KNOWN], slowly(b"x" * 100)),
    "trailers": lambda: itertools.chain([CHUNKED, b"0\r\n"], itertools.repeat(b"X: y\r\n" * 1000)),
}


@pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS)
def test_download_ends_with_its_time(answer: Answer, fetcher: Fetcher, serve: Callable[[Answer], str]):
    """Whatever arrives; it is not repeated, since the stage has no more time either."""
    error = failure(fetcher, serve(answer), TimeLimit(0.4))
    assert error.reason is Reason.DOWNLOAD_REFUSED
    assert " arrived in 0.4 seconds, the longest that a download may take here. What arr" in error.message
    assert "To give it more time, raise spec.stages.download.activeDeadlineSeconds; or" in error.message
    assert fetcher.partial.exists()


def test_body_of_a_redirect_is_not_read(fetcher: Fetcher, serve: Callable[[Answer], str]):
    """Python's urllib reads it into memory to its end, which never comes; and it redirects in a circle."""
    head = b"HTTP/1.1 302 Found\r\nLocation: /us.zip\r\n\r\n"
    error = failure(
        fetcher, serve(lambda: itertools.chain([head], itertools.repeat(bytes(65_536)))), TimeLimit(60)
    )
    assert error.reason is Reason.DOWNLOAD_REFUSED
    assert "the server answered 302. It redirects again and again; correct the URL." in error.message


def test_endless_file_leaves_space_for_others(
    fetcher: Fetcher, serve: Callable[[Answer], str], small_volume: Path
):
    """It tells no size, so that it cannot be refused before."""
    fetcher.folder = small_volume
    endless = itertools.repeat(b"10000\r\n" + bytes(65_536) + b"\r\n")
    error = failure(fetcher, serve(lambda: itertools.chain([CHUNKED], endless)), TimeLimit(60))
    assert error.reason is Reason.OUT_OF_DISK
    assert "us.zip tells no size, and after " in error.message
    assert not list(small_volume.iterdir())


def test_public_set_ends_with_the_time_of_the_download(web: Web, step: Step):
    """Qlib's command has no limit of its own."""
    step.environ[ENV_DEADLINE_SECONDS] = "1"
    found = step.run({"qlib": {"url": web.base}})
    assert found["reason"] == Reason.DOWNLOAD_REFUSED
    assert "qlib.cli.data was not done after 0.9 seconds, the longest" in found["message"]


def test_download_has_most_of_the_time_of_its_stage():
    """The operator passes the deadline on; without it, as on a laptop, there are four hours."""
    assert download_seconds({ENV_DEADLINE_SECONDS: "3600"}) == 3240
    assert download_seconds({}) == 4 * 3600 * 0.9
    for wrong in ("soon", "0", "-1", "٣", "9" * 5000):
        with pytest.raises(StageError, match="must be a whole number of seconds") as caught:
            download_seconds({ENV_DEADLINE_SECONDS: wrong})
        assert caught.value.reason is Reason.INVALID_SPEC

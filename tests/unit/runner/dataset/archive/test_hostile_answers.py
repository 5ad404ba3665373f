"""Whatever numbers, addresses and letters a server answers with: one sentence, and no InternalError."""

from __future__ import annotations

import hashlib
import socket
import threading
from typing import TYPE_CHECKING, Final

import pytest
from tests.unit.runner.hostile.hostile_values import (
    DIGITS,
    LETTERS,
    LONGEST,
    NUMBERS,
    READABLE_DIGITS,
    is_seen,
    some,
)

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.archive.credentials import Credentials
from qlib_shadow_runner.dataset.archive.fetch import RetryPolicy, fetch
from qlib_shadow_runner.dataset.archive.url import ArchiveAddress
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.runner.dataset.archive.conftest import Fetcher, Web

BODY: Final = b"the archive"
DIGEST: Final = hashlib.sha256(BODY).hexdigest()
TOLD: Final = {Reason.DOWNLOAD_FAILED, Reason.DOWNLOAD_REFUSED, Reason.OUT_OF_DISK, Reason.CHECKSUM_MISMATCH}
PLACES: Final = (
    "HTTP/1.1 {} OK\r\n\r\n",
    "HTTP/{} 200 OK\r\n\r\n",
    "HTTP/1.1 200 {}\r\nContent-Length: 11\r\n\r\n",
    "HTTP/1.1 404 {}\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 503 {0}\r\nRetry-After: {0}\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nETag: {}\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nLast-Modified: {}\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: a\r\n {}\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n",
    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-10/11\r\n\r\n",
    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-{}/11\r\n\r\n",
    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-10/{}\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: {}\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{}/\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/{}\r\n\r\n",
)
"""Heads of answers with a place for a hostile value."""
ADDRESSES: Final = (
    "https://127.0.0.1:99999999/",
    f"https://127.0.0.1:{DIGITS}/",
    "https://127.0.0.1:-1/",
    "https://127.0.0.1:x/",
    "https://[::1",
    "https://[::1]x/",
    "https://[v1.x]/",
    "https://",
    "https:///x",
    "https://a..b/",
    f"https://{'a' * 64}.example/",
    f"https://{'a.' * 5_000}example/",
    "https://\xe4..b/",
    "https://xn--\xff/",
    "https://127.0.0.1\x00/",
    "https://127.0.0.1 /",
    "http://[fe80::1%25]/",
    "http://127.0.0.1:99999999/",
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "javascript:alert(1)",
    "//",
    "?" + "x" * 5_000,
    "\x1b[2J",
)


class Raw(threading.Thread):
    """Answers every connection with the bytes that the test has set."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.answer = b""
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/us.zip"

    def run(self) -> None:
        """Answer until the socket is closed."""
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(self.answer)


@pytest.fixture
def raw() -> Iterator[Raw]:
    """Run a server that knows nothing of HTTP."""
    server = Raw()
    server.start()
    yield server
    server.listening.shutdown(socket.SHUT_RDWR)
    server.listening.close()
    server.join()


def fetched(url: str, partial: Path, credentials: Credentials | None = None) -> str | None:
    """Return what is wrong with how one request ended, or None; a few bytes have arrived before."""
    partial.write_bytes(BODY[:5])
    address, once = ArchiveAddress(url), RetryPolicy(tries=1, timeout=20.0)
    try:
        fetch(address, DIGEST, partial, credentials=credentials or Credentials(), retry_policy=once)
    except StageError as error:
        said = error.message
        if error.reason in TOLD and len(said) <= LONGEST and is_seen(said) and "\n" not in said:
            return None
        return f"{error.reason}: {said[:300]!r}"
    return None


def test_any_head_of_an_answer_ends_in_a_sentence(raw: Raw, fetcher: Fetcher):
    """Numbers in every header that is read, and letters in every place."""
    cases = [(place, value) for place in PLACES for value in (*NUMBERS, *LETTERS, *ADDRESSES)]
    faults: list[object] = []
    for place, value in some(cases, 50):
        raw.answer = place.format(value).encode("latin-1", "replace") + BODY
        if fault := fetched(raw.url, fetcher.partial):
            faults.append((place, value[:40], fault))
    assert not faults, "\n".join(map(str, faults))


def test_any_address_of_a_redirect_is_refused(raw: Raw, fetcher: Fetcher):
    """Also one that the library cannot parse; credentials are compared with its origin before."""
    faults = []
    for address in ADDRESSES:
        raw.answer = b"HTTP/1.1 302 Found\r\nLocation: " + address.encode("latin-1") + b"\r\n\r\n"
        if fault := fetched(raw.url, fetcher.partial, Credentials("Bearer secret-token")):
            faults.append((address[:40], fault))
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.parametrize("length", [DIGITS, READABLE_DIGITS, "9" * 19])
def test_size_that_no_file_has_is_refused_and_not_tried_again(length: str, web: Web, fetcher: Fetcher):
    """A server that states it will do so the next time too."""
    web.will(headers={"Content-Length": length})
    with pytest.raises(StageError, match="which no file has") as caught:
        fetcher(web.url("us.zip", BODY), DIGEST)
    assert (caught.value.reason, len(web.asked)) == (Reason.DOWNLOAD_REFUSED, 1)


@pytest.mark.parametrize("address", ["https://127.0.0.1:99999999/", "https://[::1", "https://a..b/"])
def test_redirect_to_what_is_no_address_is_refused_and_not_tried_again(
    address: str, web: Web, fetcher: Fetcher
):
    """The sentence names the redirect, and not what the library says, which may hold a signature."""
    web.will(status=302, headers={"Location": f"{address}?sig=secret"})
    with pytest.raises(StageError, match="this address is none, or the one that its server") as caught:
        fetcher(web.url("us.zip", BODY), DIGEST)
    assert (caught.value.reason, len(web.asked)) == (Reason.DOWNLOAD_REFUSED, 1)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("proxy", ["http://[::1", "http://127.0.0.1:99999999", f"http://127.0.0.1:{DIGITS}"])
def test_proxy_that_is_no_address_is_refused(proxy: str, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch):
    """The person who set it can correct it; no retry does."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(StageError, match="HTTPS_PROXY is not the address of a proxy") as caught:
        fetcher("https://data.example/us.zip", DIGEST)
    assert caught.value.reason is Reason.INVALID_SPEC


def test_damaged_note_of_a_partial_file_is_not_sent(
    web: Web, fetcher: Fetcher, sha256: Callable[[bytes], str], tmp_path: Path
):
    """A header could not hold it."""
    fetcher.partial.write_bytes(BODY[:5])
    (tmp_path / f"{fetcher.partial.name}.json").write_text('{"validator": "\\u4e2d\\r\\nX: y"}')
    assert fetcher(web.url("us.zip", BODY), sha256(BODY)) == BODY
    assert web.asked[0].if_range is None

"""Any address, header and cookie is answered by a page or a refusal, and leaves the terminal alone."""

from __future__ import annotations

import socket
from itertools import product
from typing import TYPE_CHECKING, Final

import pytest
from tests.unit.runner.catalog.volumes import SmallVolume
from tests.unit.runner.hostile.hostile_values import DIGITS, LETTERS, NUMBERS, READABLE_DIGITS, is_seen, some
from tests.unit.runner.ui.conftest import served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.runner.ui.conftest import Served

LONG: Final = "n" * 30_000
"""The server itself refuses longer addresses."""
PLACES: Final = (
    "/runs?page={}",
    "/runs?q={}",
    "/runs?status={}",
    "/runs?sort={}",
    "/runs?{}={}",
    "/runs?run={}&run={}",
    "/?{}={}",
    "/series?of={}",
    "/{}",
    "/runs/{}",
    "/runs/{}/report",
    "/runs/nightly-1/logs/{}",
    "/runs/nightly-1/logs/stdout/from/{}",
    "/runs/nightly-1/files/{}",
    "/runs/nightly-1/files/results/{}",
    "/compare?run={}&run=nightly-1",
    "/static/{}",
    "/followup?{}",
)
SPELT: Final = (
    "%",
    "%zz",
    "%ff",
    "%00",
    "%c3%28",
    "%ed%a0%80",
    "%2e%2e%2f",
    "%0d%0aX: y",
    "%1b[2J",
    "%e2%80%ae",
)
VALUES: Final = (*SPELT, *("".join(f"%{byte:02x}" for byte in text.encode()) for text in LETTERS), LONG)
HEADERS: Final = (
    "Host",
    "Authorization",
    "Cookie",
    "Range",
    "If-None-Match",
    "Content-Length",
    "Accept",
    "X",
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a volume with a run; in the end, nothing may be on stderr."""
    small = SmallVolume(tmp_path_factory.mktemp("pages") / "data")
    small.add_dataset(64)
    (small.add_run("nightly-1", 60) / "stdout.log").write_text("x" * 10)
    with served(small, QLIB_SHADOW_UI_TOKEN="t" * 20) as one:
        yield one


def asked(pages: Served, head: bytes) -> tuple[int, str]:
    """Send bytes; return the status and the body."""
    with socket.create_connection(("127.0.0.1", pages.port), timeout=60) as connection:
        connection.sendall(head)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    first, _, rest = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]) if first else 0, rest.decode("utf-8", "replace")


def test_any_address_is_a_page_or_a_refusal(pages: Served):
    """Numbers of pages and places in a log, ids of thirty thousand letters, escapes that are none."""
    token = f"Authorization: Bearer {'t' * 20}"
    head = f"GET {{}} HTTP/1.1\r\nHost: localhost\r\n{token}\r\nConnection: close\r\n\r\n"
    faults: list[object] = []
    numbers = [number.replace(" ", "+") for number in (*NUMBERS, DIGITS, READABLE_DIGITS)]
    for place, value in some(list(product(PLACES, (*VALUES, *numbers))), 200):
        status, body = asked(pages, head.format(place.replace("{}", value)).encode("utf-8"))
        if status not in {200, 303, 307, 400, 404, 414, 431} or not is_seen(body) or LONG in body:
            faults.append((place, value[:40], status, body[:200]))
    assert not faults, "\n".join(map(str, faults))


def test_any_header_is_answered(pages: Served):
    """Without a token that fits, by the page that asks for one, or by a refusal."""
    faults: list[object] = []
    values = (*NUMBERS, *LETTERS, LONG, "", "Bearer \xff", "a=b; =; ;;")
    for name, value in some(list(product(HEADERS, values)), 60):
        host = "" if name == "Host" else "Host: localhost\r\n"
        head = f"GET / HTTP/1.1\r\n{host}{name}: {value}\r\nConnection: close\r\n\r\n"
        status, body = asked(pages, head.encode("latin-1", "replace"))
        if status not in {400, 401, 421, 431} or not is_seen(body.replace("\r\n", "\n")):
            faults.append((name, value[:40], status, body[:200]))
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.parametrize(
    ("place", "status"), [("0", 200), ("5", 200), (DIGITS, 404), ("-1", 404), ("x", 404)]
)
def test_log_is_read_from_a_byte_on(pages: Served, place: str, status: int):
    """A number that no file reaches is refused in a sentence."""
    answer = pages.get(f"/runs/nightly-1/logs/stdout/from/{place}", Authorization=f"Bearer {'t' * 20}")
    assert answer.status == status
    assert status == 200 or "a log is read from a byte on" in answer.text

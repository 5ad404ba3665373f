"""The pages show the runs of a volume, change nothing, and give access to nothing else."""

from __future__ import annotations

import contextlib
import html
import json
import re
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.catalog.volumes import SmallVolume
from tests.unit.runner.ui.conftest import served

from qlib_shadow_runner.catalog.update import update
from qlib_shadow_runner.contract import ARTIFACTS
from testcluster import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.runner.ui.conftest import Served


def ids(text: str) -> list[str]:
    """Return the ids of the runs that a page lists."""
    return re.findall(r'<th scope="row"><a href="/runs/([^"]+)"', text)


def test_runs_are_listed_and_filtered(pages: Served):
    """Newest first; filtered by status, by words, or by both."""
    everything = ["busy-1", "broken-1", "nightly-2", "nightly-1", "nightly-0"]
    assert ids(pages.get("/runs").text) == everything
    assert ids(pages.get("/runs?status=failed").text) == ["broken-1"]
    assert ids(pages.get("/runs?q=SP500+2").text) == ["nightly-2"]
    assert ids(pages.get("/runs?status=complete&q=nightly-1").text) == ["nightly-1"]
    assert "None of the 5 runs matches" in pages.get("/runs?q=nothing").text
    assert "5 of 5 runs" in pages.get("/runs?page=x&status=&q=").text
    assert '<span class="badge running">running</span>' in pages.get("/runs").text
    assert "TrainingFailed" in pages.get("/runs?status=failed").text


def test_columns_sort(pages: Served):
    """The largest first, then the smallest; runs without the value last; the address keeps the filter."""
    rising = ids(pages.get("/runs?sort=ic&order=rising").text)
    falling = ids(pages.get("/runs?sort=ic").text)
    assert [name for name in falling if name.startswith("nightly")] == ["nightly-2", "nightly-1", "nightly-0"]
    assert [name for name in rising if name.startswith("nightly")] == ["nightly-0", "nightly-1", "nightly-2"]
    assert rising[-1] == falling[-1] == "busy-1"
    text = pages.get("/runs?status=complete&sort=ic").text
    assert 'aria-sort="descending"><a href="/runs?status=complete&amp;sort=ic&amp;order=rising"' in text
    assert '<a href="/runs?status=complete&amp;sort=rank_ic"' in text
    assert ids(pages.get("/runs?sort=uid;drop").text) == ids(pages.get("/runs").text)


def test_runs_of_the_list_are_compared(pages: Served):
    """The frame's page is what `qlib-shadow compare` writes, without any right."""
    outer = pages.get("/compare?run=nightly-0&run=nightly-1")
    assert outer.status == 200
    assert 'src="/compare/page?run=nightly-0&amp;run=nightly-1"' in outer.text
    inner = pages.get("/compare/page?run=nightly-0&run=nightly-1")
    assert inner.status == 200
    assert inner.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "2 runs compared" in inner.text
    assert "nightly-1" in inner.text


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("", 400, "mark 2 to 8 runs in the list to compare them; 0 are marked"),
        ("?run=nightly-0&run=nightly-0", 400, "1 are marked"),
        ("?" + "&".join(f"run=r{number}" for number in range(9)), 400, "9 are marked"),
        ("?run=nightly-0&run=--help", 404, 'there is no run "--help" on this volume'),
        ("?run=nightly-0&run=..%2Fcatalog", 404, 'there is no run "../catalog" on this volume'),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(pages: Served, query: str, status: int, sentence: str):
    """Before a process is started."""
    for address in ("/compare", "/compare/page"):
        answer = pages.get(address + query)
        assert (answer.status, html.unescape(answer.text).count(sentence)) == (status, 1)


@pytest.mark.parametrize("page", ["0", "-1", "99", "1e3", "²", "9" * 400])
def test_invalid_page_number_is_not_an_error(pages: Served, page: str):
    """The list is shown."""
    assert pages.get(f"/runs?page={page.encode().hex() if not page.isascii() else page}").status == 200


def test_page_of_a_run_shows_stages_figures_data_and_files(pages: Served):
    """With its report in a sandboxed frame."""
    text = pages.get("/runs/nightly-0").text
    for words in (
        "IC 0.036",
        "8.0%",
        "\N{MINUS SIGN}10.0%",
        "config-of-nightly-0",
        "prices content=1",
        "8.2 s",
        "1.5 s",
    ):
        assert words in text, words
    assert re.search(r'<iframe [^>]*src="/runs/nightly-0/report"[^>]* sandbox ', text)
    assert "/runs/nightly-0/files/signals_ranked.parquet" in text
    assert "/runs/nightly-0/files/results/qrun.json" in text
    assert "/runs/nightly-0/logs/stderr" in text
    assert '<a href="/series?of=local%2Fname%2Fnightly">all of nightly</a>' in text
    assert "iframe" not in pages.get("/runs/nightly-1").text


def test_files_are_sent_unchanged(pages: Served):
    """With a type that no browser shows as a page."""
    folder = pages.small.data / ARTIFACTS / "nightly-0"
    for name, kind in {
        "metrics.json": "application/json",
        "signals_ranked.parquet": "application/vnd.apache.parquet",
        "results/qrun.json": "application/json",
        "stderr.log": "text/plain; charset=utf-8",
        "report.html": "text/plain; charset=utf-8",
    }.items():
        answer = pages.get(f"/runs/nightly-0/files/{name}")
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        assert answer.body == (folder / name).read_bytes()
        head = pages.get(f"/runs/nightly-0/files/{name}", "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(answer.body))


def send_and_disconnect(port: int, path: str) -> None:
    """Send a request, and disconnect before the answer comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as gone:
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())


def opened(process: int) -> Iterator[str]:
    """Return the paths of the files that a process has open."""
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(link.readlink())


def test_files_are_closed_when_clients_disconnect(pages: Served):
    """Else the server would reach its limit of open files."""
    for _ in range(60):
        send_and_disconnect(pages.port, "/runs/nightly-0/report")
    assert pages.get("/runs/nightly-0/files/metrics.json").status == 200
    wait_for(lambda: not any("nightly-0" in name for name in opened(pages.process)), 60, "files to be closed")


def test_report_is_sandboxed(pages: Served):
    """No script, no origin, no network, and only in a frame of these pages."""
    answer = pages.get("/runs/nightly-0/report")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; ")
    assert "script" not in policy
    assert "frame-ancestors 'self'" in policy
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


OUTSIDE = [
    "/runs/../secret",
    "/runs/%2e%2e/files/secret",
    "/runs/nightly-0/files/../../../../../secret",
    "/runs/nightly-0/files/..%2f..%2f..%2f..%2f..%2fsecret",
    "/runs/nightly-0/files/%2fetc%2fpasswd",
    "/runs/nightly-0/files//etc/passwd",
    "/runs/nightly-0/files/link",
    "/runs/nightly-0/files/results/../link",
    "/runs/nightly-0/files/linked/secret",
    "/runs/nightly-0/files/.owner.json",
    "/runs/nightly-0/files/mlruns/0/meta.yaml",
    "/runs/nightly-0/files/results",
    "/runs/nightly-0/files/pipe",
    "/runs/nightly-0/files/metrics.json%00.txt",
    "/runs/nightly-0/logs/..%2fsecret",
    "/runs/nightly-0/logs/stdout/from/-1",
    "/runs/linked/files/metrics.json",
    "/runs/catalog/files/runs.parquet",
    "/static/../app.py",
    "/static/..%2fapp.py",
    "/static/%2e%2e/gate.py",
    "//127.0.0.1/secret",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_path_leads_out_of_the_files_of_a_run(pages: Served, path: str):
    """Not with dots, links, hidden names, other folders or encodings."""
    data = pages.small.data
    folder = data / ARTIFACTS / "nightly-0"
    (data / "secret").write_text("secret of mine")
    (folder / ".owner.json").write_text("secret of mine")
    for link, target in ((folder / "link", data / "secret"), (folder / "linked", data)):
        if not link.is_symlink():
            link.symlink_to(target)
    linked = folder.with_name("linked")
    if not linked.is_symlink():
        linked.symlink_to("nightly-1")
    answer = pages.get(path)
    assert answer.status == 404, answer.text
    assert "secret of mine" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/runs/nightly-0", "/runs/nightly-0/files/metrics.json", "/nothing"])
def test_no_method_writes(pages: Served, method: str, path: str):
    """Only GET and HEAD are answered."""
    answer = pages.get(path, method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


HOSTS = {"localhost": 200, "127.0.0.1:{port}": 200, "LOCALHOST:80": 200, "[::1]:9": 200, "evil.example": 421}
FOREIGN = {
    "127.0.0.1.evil.example:{port}": 421,
    "localhost.evil.example": 421,
    "": 421,
    "evil.example:{port}": 421,
}


@pytest.mark.parametrize(("host", "status"), {**HOSTS, **FOREIGN}.items())
def test_unknown_host_name_is_refused(pages: Served, host: str, status: int):
    """Another site could let its host name lead here (DNS rebinding)."""
    answer = pages.get("/", Host=host.format(port=pages.port))
    assert answer.status == status
    assert ("nightly" in answer.text) == (status == 200)


@pytest.mark.parametrize(
    "path", ["/", "/runs/nightly-0", "/followup", "/static/ui.js", "/nothing", "/runs/x"]
)
def test_every_answer_has_the_security_headers(pages: Served, path: str):
    """They keep other sites from embedding or reading it."""
    headers = pages.get(path).headers
    assert headers["content-security-policy"].startswith(
        "default-src 'none'; style-src 'self'; script-src 'self'"
    )
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    text = {name: headers[name] for name in ("x-content-type-options", "referrer-policy", "cache-control")}
    assert text == {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


def test_markup_in_documents_is_escaped(tmp_path: Path):
    """Markup in any document of a run is shown as text."""
    small = SmallVolume(tmp_path / "data")
    evil = "<img src=x onerror=alert(1)>"
    quality = {
        "overall_state": evil,
        "action_hint": evil,
        "checks": [{"name": evil, "state": evil, "examples": [evil], "hint": evil}],
        "waived": [{"finding": evil, "instrument": evil, "day": evil, "why": evil, "count": 1}],
    }
    folder = small.add_run(
        "evil-1", name=evil, reason=evil, status="failed", caveats=[evil], dataset_quality=quality
    )
    (folder / "stdout.log").write_text(evil)
    (folder / f"{evil.replace('/', '')}.txt").write_text(evil)
    with served(small) as pages:
        for path in (
            "/",
            "/runs",
            f"/runs?q={evil.replace(' ', '+')}",
            "/runs/evil-1",
            "/runs/evil-1/logs/stdout",
        ):
            text = pages.get(path).text
            assert "<img" not in text
        assert "&lt;img src=x" in text


def test_log_is_followed_from_the_last_position(pages: Served):
    """A page starts with the end of the log, then gets what is new, in whole characters."""
    text = pages.get("/runs/nightly-0/logs/stderr").text
    assert "line 8999 · ü" in text
    assert "line 100 · ü" not in text
    path = "/runs/nightly-0/logs/stderr/from/"
    read, begin = "", 0
    while (part := json.loads(pages.get(f"{path}{begin}").text))["text"]:
        read, begin = read + part["text"], part["next"]
    log = pages.small.data / ARTIFACTS / "nightly-0" / "stderr.log"
    assert (read, begin, part["ended"]) == (log.read_text(), log.stat().st_size, True)
    with log.open("ab") as stream:
        stream.write("ü".encode()[:1])
    assert json.loads(pages.get(f"{path}{begin}").text) == {"text": "", "next": begin, "ended": True}
    with log.open("ab") as stream:
        stream.write("ü".encode()[1:])
    assert json.loads(pages.get(f"{path}{begin}").text)["text"] == "ü"
    assert json.loads(pages.get(f"{path}{begin + 999}").text)["text"].startswith("line 0 · ü")
    assert json.loads(pages.get("/runs/busy-1/logs/stdout/from/0").text)["ended"] is False
    assert json.loads(pages.get("/runs/busy-1/logs/stderr/from/5").text) == {
        "text": "",
        "next": 0,
        "ended": False,
    }


def test_followup_is_shown_and_drawn(pages: Served):
    """As it is on the volume; a page computes nothing."""
    assert "No outcome is known yet" in pages.get("/followup").text
    update(pages.small.volume)
    text = pages.get("/followup").text
    assert re.findall(r'<th scope="row">(\d+ days?)</th>', text) == ["1 day"]
    assert '<polyline class="line line-1"' in text
    assert "Outcome of its last signals" in pages.get("/runs/nightly-0").text


def test_pages_do_not_change_the_volume(pages: Served):
    """After a request for every page, all files are as before."""

    def state() -> dict[str, tuple[int, int]]:
        paths = (path for path in pages.small.data.rglob("*") if not path.is_symlink())
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}

    before = state()
    shown = ("/", "/runs", "/followup", "/healthz", "/runs/nightly-0", "/runs/busy-1")
    for path in (*shown, "/runs/busy-1/logs/stdout", "/series?of=local%2Fname%2Fnightly"):
        assert pages.get(path).status == 200
    assert state() == before

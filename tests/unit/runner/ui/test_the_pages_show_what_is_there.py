"""`qlib-shadow ui`: what the pages say, and that asking changes nothing and reaches nothing else."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from tests.unit.runner.catalog.volumes import SmallVolume
from tests.unit.runner.conftest import weekdays
from tests.unit.runner.ui.conftest import served

from qlib_shadow_runner.catalog import followup
from qlib_shadow_runner.catalog.track_record import TrackRecord, TrackRecordDay
from qlib_shadow_runner.catalog.update import update
from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import ARTIFACTS
from qlib_shadow_runner.ui.chart import HEIGHT, WIDTH, cumulative_ic
from qlib_shadow_runner.ui.run_table import FollowupTable
from testcluster import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.runner.ui.conftest import Served


def ids(text: str) -> list[str]:
    """Name the runs that a page lists."""
    return re.findall(r'<th scope="row"><a href="/runs/([^"]+)"', text)


def test_runs_are_listed_and_filtered(pages: Served):
    """Newest first; by status, by words, by both; what nobody is like is said."""
    everything = ["busy-1", "broken-1", "nightly-2", "nightly-1", "nightly-0"]
    assert ids(pages.get("/").text) == everything
    assert ids(pages.get("/?status=failed").text) == ["broken-1"]
    assert ids(pages.get("/?q=SP500+2").text) == ["nightly-2"]
    assert ids(pages.get("/?status=complete&q=nightly-1").text) == ["nightly-1"]
    assert "None of the 5 runs is like that" in pages.get("/?q=nothing").text
    assert "5 of 5 runs" in pages.get("/?page=x&status=&q=").text
    assert '<span class="badge running">running</span>' in pages.get("/").text
    assert "TrainingFailed" in pages.get("/?status=failed").text


@pytest.mark.parametrize("page", ["0", "-1", "99", "1e3", "²", "9" * 400])
def test_a_page_that_is_none_is_no_failure(pages: Served, page: str):
    """Whatever is typed into the address."""
    assert pages.get(f"/?page={page.encode().hex() if not page.isascii() else page}").status == 200


def test_a_run_tells_its_stages_figures_data_and_files(pages: Served):
    """In one page, with its report in a frame that may do nothing."""
    told = pages.get("/runs/nightly-0").text
    for words in (
        "IC 0.036",
        "8.0%",
        "\N{MINUS SIGN}10.0%",
        "config-of-nightly-0",
        "prices inbox",
        "8.2 s",
        "1.5 s",
    ):
        assert words in told, words
    assert re.search(r'<iframe [^>]*src="/runs/nightly-0/report"[^>]* sandbox ', told)
    assert "/runs/nightly-0/files/signals_ranked.parquet" in told
    assert "/runs/nightly-0/files/results/qrun.json" in told
    assert "/runs/nightly-0/logs/stderr" in told
    assert "iframe" not in pages.get("/runs/nightly-1").text


def test_files_are_given_as_they_are(pages: Served):
    """With a type that no browser takes for a page."""
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


def reset(port: int, path: str) -> None:
    """Ask for something, and be gone before it comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as gone:
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())


def opened(process: int) -> Iterator[str]:
    """Name what a process has open."""
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(link.readlink())


def test_nobody_leaves_a_file_open(pages: Served):
    """However many requests are broken off: a process may open only so many."""
    for _ in range(60):
        reset(pages.port, "/runs/nightly-0/report")
    assert pages.get("/runs/nightly-0/files/metrics.json").status == 200
    wait_for(lambda: not any("nightly-0" in name for name in opened(pages.process)), 60, "files to be closed")


def test_a_report_may_do_nothing(pages: Served):
    """No script, no origin, no network, and in no frame but ours."""
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
def test_no_path_leads_out_of_a_runs_own_files(pages: Served, path: str):
    """Not by dots, links, hidden names, other folders or encodings."""
    data = pages.small.data
    folder = data / ARTIFACTS / "nightly-0"
    (data / "secret").write_text("secret of mine")
    (folder / ".owner.json").write_text("secret of mine")
    for link, target in ((folder / "link", data / "secret"), (folder / "linked", data)):
        if not link.is_symlink():
            link.symlink_to(target)
    twin = folder.with_name("linked")
    if not twin.is_symlink():
        twin.symlink_to("nightly-1")
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
def test_another_name_than_ours_is_refused(pages: Served, host: str, status: int):
    """A page elsewhere may have its name lead here; it must not be answered."""
    answer = pages.get("/", Host=host.format(port=pages.port))
    assert answer.status == status
    assert ("nightly" in answer.text) == (status == 200)


@pytest.mark.parametrize(
    "path", ["/", "/runs/nightly-0", "/followup", "/static/ui.js", "/nothing", "/runs/x"]
)
def test_every_answer_keeps_other_sites_away(pages: Served, path: str):
    """By headers that every browser heeds."""
    headers = pages.get(path).headers
    assert headers["content-security-policy"].startswith(
        "default-src 'none'; style-src 'self'; script-src 'self'"
    )
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    told = {name: headers[name] for name in ("x-content-type-options", "referrer-policy", "cache-control")}
    assert told == {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


def test_what_runs_say_is_text(tmp_path: Path):
    """Markup in any document of a run is shown, and is nothing."""
    small = SmallVolume(tmp_path / "data")
    evil = "<img src=x onerror=alert(1)>"
    quality = {
        "overall_state": evil,
        "action_hint": evil,
        "checks": [{"name": evil, "state": evil, "examples": [evil]}],
    }
    folder = small.add_run(
        "evil-1", name=evil, reason=evil, status="failed", caveats=[evil], dataset_quality=quality
    )
    (folder / "stdout.log").write_text(evil)
    (folder / f"{evil.replace('/', '')}.txt").write_text(evil)
    with served(small) as pages:
        for path in ("/", f"/?q={evil.replace(' ', '+')}", "/runs/evil-1", "/runs/evil-1/logs/stdout"):
            told = pages.get(path).text
            assert "<img" not in told
        assert "&lt;img src=x" in told


def test_a_log_is_followed_from_where_it_was(pages: Served):
    """A page begins with its end; then comes what is new, whole characters only."""
    told = pages.get("/runs/nightly-0/logs/stderr").text
    assert "line 8999 · ü" in told
    assert "line 100 · ü" not in told
    path = "/runs/nightly-0/logs/stderr/from/"
    read, begin = "", 0
    while (piece := json.loads(pages.get(f"{path}{begin}").text))["text"]:
        read, begin = read + piece["text"], piece["next"]
    log = pages.small.data / ARTIFACTS / "nightly-0" / "stderr.log"
    assert (read, begin, piece["ended"]) == (log.read_text(), log.stat().st_size, True)
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


def test_the_followup_is_told_and_drawn(pages: Served):
    """As it is on the volume: a page never judges."""
    assert "Nothing is known yet" in pages.get("/followup").text
    update(pages.small.volume)
    told = pages.get("/followup").text
    assert re.findall(r'<th scope="row">(\d+ days?)</th>', told) == ["1 day"]
    assert '<polyline class="line line-1"' in told
    assert "What became of its last signals" in pages.get("/runs/nightly-0").text


def test_the_followup_is_read_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And not for every page of every run, of which one needs a few rows."""
    small = SmallVolume(tmp_path / "data")
    small.add_dataset(64)
    judged, read = FollowupTable(small.volume), Mock(wraps=followup.read_live)
    monkeypatch.setattr(followup, "read_live", read)
    assert judged.rows() == judged.of("nightly-1") == []
    small.add_run("nightly-1", 60)
    small.add_run("nightly-2", 61)
    expected = [row for row in update(small.volume).followup if row["live"]]
    assert [judged.rows() for _ in range(3)] == [expected] * 3
    assert [row["run_id"] for row in judged.of("nightly-1")] == ["nightly-1"]
    assert judged.of("nightly-1") == [row for row in expected if row["run_id"] == "nightly-1"]
    assert read.call_count == 2


def test_a_chart_stays_on_its_canvas():
    """With lines on round numbers, whatever the figures."""
    days = weekdays(40)
    for scale in (1e-5, 0.3, 40.0):
        several = [
            TrackRecordDay(day, day, 1, 0.1, 0.1, 0.1, 0.1, cumulative_ic=scale * (place % 7 - 3))
            for place, day in enumerate(days)
        ]
        chart = cumulative_ic([TrackRecord("d", 1, several)])
        assert chart is not None
        points = [tuple(map(float, point.split(","))) for point in chart.lines[0].points.split()]
        assert len(points) == 40
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
        assert 3 <= len(chart.grid) <= 8
        assert any(label == "0" for _, label in chart.grid)
    assert cumulative_ic([TrackRecord("d", 1, several[:1])]) is None


def test_looking_changes_nothing(pages: Served):
    """Every page is asked for, and the volume is as it was."""

    def state() -> dict[str, tuple[int, int]]:
        paths = (path for path in pages.small.data.rglob("*") if not path.is_symlink())
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}

    before = state()
    for path in ("/", "/followup", "/healthz", "/runs/nightly-0", "/runs/busy-1", "/runs/busy-1/logs/stdout"):
        assert pages.get(path).status == 200
    assert state() == before


FAULTS = {
    "no number": (
        ["--port", "http"],
        '--port must be a number from 1 to 65535, or 0 for a free one, not "http"',
    ),
    "too great": (["--port", "65536"], 'not "65536"'),
    "negative": (["--port=-1"], 'not "-1"'),
    "no address": (["--host", "example.com"], "--host must be an address of this machine, such as 127.0.0.1"),
    "another's address": (["--host", "192.0.2.1"], "192.0.2.1 is no address of this machine"),
    "no token file": (
        ["--token-file", "/nowhere/token"],
        "the token cannot be read from /nowhere/token: No such file",
    ),
    "a short token": (["--token-file", "{there}/short"], "must have at least 16 characters"),
    "an odd token": (["--token-file", "{there}/odd"], "without spaces or letters beyond ASCII"),
    "no text": (["--token-file", "{there}/binary"], "it is not text"),
}


@pytest.mark.parametrize(("words", "sentence"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_served_is_one_sentence_and_ten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
):
    """Whatever was typed."""
    (tmp_path / "short").write_text("secret\n")
    (tmp_path / "odd").write_text("a token with spaces in it\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe" * 20)
    assert main(["ui", "--data", str(tmp_path), *(word.format(there=tmp_path) for word in words)]) == 10
    said = capsys.readouterr().err
    assert said.startswith("qlib-shadow: InvalidSpec: ")
    assert sentence in said
    assert said.count("\n") == 1


def test_a_port_that_is_taken_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """With the way out."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["ui", "--data", str(tmp_path), "--port", str(port)]) == 10
    assert f"port {port} of 127.0.0.1 is taken by another program; choose another" in capsys.readouterr().err


def test_a_missing_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Before anything listens."""
    assert main(["ui", "--data", str(tmp_path / "none")]) == 10
    assert "none is not a folder; name the data folder with --data" in capsys.readouterr().err


def test_a_program_is_told_where_the_pages_are(small: SmallVolume):
    """In one line, because the command goes on."""
    with served(small, "--json") as pages:
        assert json.loads(pages.said) == {
            "url": f"http://127.0.0.1:{pages.port}/",
            "data": str(small.data),
        }


def test_ctrl_c_ends_it_quietly(tmp_path: Path):
    """As its first line says; an empty volume is served too."""
    command = [sys.executable, "-m", "qlib_shadow_runner", "ui", "--data", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        with socket.create_connection(("127.0.0.1", int(said.rpartition(":")[2].partition("/")[0]))) as asked:
            asked.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    assert "There are no runs on this volume yet" in answer
    assert (process.returncode, rest, errors) == (0, "", "")

"""`qlib-shadow ui`: how the server starts and stops, and why it may not start."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.ui.conftest import served

from qlib_shadow_runner.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.runner.catalog.volumes import SmallVolume


FAULTS = {
    "no number": (
        ["--port", "http"],
        '--port must be a number from 1 to 65535, or 0 for a free one, not "http"',
    ),
    "too great": (["--port", "65536"], 'not "65536"'),
    "negative": (["--port=-1"], 'not "-1"'),
    "no address": (["--host", "example.com"], "--host must be an address of this machine, such as 127.0.0.1"),
    "another's address": (["--host", "192.0.2.1"], "192.0.2.1 is not an address of this machine"),
    "no token file": (
        ["--token-file", "/nowhere/token"],
        "the token cannot be read from /nowhere/token: No such file",
    ),
    "a short token": (["--token-file", "{there}/short"], "must have at least 16 characters"),
    "an odd token": (["--token-file", "{there}/odd"], "without spaces or letters beyond ASCII"),
    "no text": (["--token-file", "{there}/binary"], "it is not text"),
}


@pytest.mark.parametrize(("words", "sentence"), FAULTS.values(), ids=FAULTS)
def test_wrong_option_is_one_sentence_and_exit_code_10(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
):
    """Before anything listens."""
    (tmp_path / "short").write_text("secret\n")
    (tmp_path / "odd").write_text("a token with spaces in it\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe" * 20)
    assert main(["ui", "--data", str(tmp_path), *(word.format(there=tmp_path) for word in words)]) == 10
    output = capsys.readouterr().err
    assert output.startswith("qlib-shadow: InvalidSpec: ")
    assert sentence in output
    assert output.count("\n") == 1


def test_used_port_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The message says how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["ui", "--data", str(tmp_path), "--port", str(port)]) == 10
    assert f"port {port} of 127.0.0.1 is taken by another program; choose another" in capsys.readouterr().err


def test_missing_data_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """It is named."""
    assert main(["ui", "--data", str(tmp_path / "none")]) == 10
    assert "none is not a folder; name the data folder with --data" in capsys.readouterr().err


def test_address_is_printed_as_json(small: SmallVolume):
    """In one line, because the command continues."""
    with served(small, "--json") as pages:
        assert json.loads(pages.first_line) == {
            "url": f"http://127.0.0.1:{pages.port}/",
            "data": str(small.data),
        }


def test_ctrl_c_stops_the_server(tmp_path: Path):
    """With exit code 0 and no message; an empty volume is served too."""
    command = [sys.executable, "-m", "qlib_shadow_runner", "ui", "--data", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.readline()
        with socket.create_connection(
            ("127.0.0.1", int(output.rpartition(":")[2].partition("/")[0]))
        ) as asked:
            asked.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    assert "There are no runs on this volume yet" in answer
    assert (process.returncode, rest, errors) == (0, "", "")

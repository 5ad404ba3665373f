"""What a run shows while it works: one redrawn line on a real terminal, plain lines in a log."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.hostile.hostile_values import LETTERS, is_seen

from qlib_shadow_runner.cli.stage_progress import LiveDisplay, PlainDisplay, StageProgress
from qlib_shadow_runner.contract import Stage

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "apiVersion: qlibshadow.io/v1alpha1\nkind: QlibShadowRun\nmetadata: {name: demo}\n"
SPEC = "spec: {dataset: {source: {prices: {path: us.csv}}}}\n"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with a manifest and a volume with prices, of which one symbol must be renamed."""
    (tmp_path / "data").mkdir()
    bars = "".join(f"2024-01-{day:02},NA,1,2,1,2,5\n" for day in range(2, 30))
    (tmp_path / "data" / "us.csv").write_text("date,symbol,open,high,low,close,volume\n" + bars)
    (tmp_path / "run.yaml").write_text(HEAD + SPEC)
    return tmp_path


def on_a_terminal(place: Path, *words: str) -> tuple[int, str]:
    """Run a command with a real terminal as its output; return its exit code and all output."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    command = [sys.executable, "-m", "qlib_shadow_runner", *words]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=place, env=environ
    ) as child:
        os.close(theirs)
        drawn = b""
        while piece := _read(ours):
            drawn += piece
    os.close(ours)
    return child.returncode, drawn.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux says EIO when the other side is closed
        return b""


def test_terminal_shows_one_line_that_is_redrawn(place: Path):
    """Remarks are printed above it; at the end it stays."""
    code, drawn = on_a_terminal(place, "download", "run.yaml")
    plain = [ESCAPES.sub("", line).rstrip() for line in re.split(r"[\r\n]+", drawn)]
    assert code == 0, drawn
    assert "\x1b[2K" in drawn  # the line is erased before it is redrawn
    note = "  download   note: symbols renamed from the files (1): NA is NA_"
    assert note in plain
    end = [line for line in plain if line.startswith("  download   prices 1 ")]
    assert re.fullmatch(r".* fingerprint [0-9a-f]{12}  \d+\.\d s", end[-1])
    assert plain.index(note) < plain.index(end[-1])
    assert all(len(line) <= 100 for line in plain)


def test_terminal_shows_a_failure_once(place: Path):
    """The line ends in red; the sentence and the path of the log are below it."""
    (place / "data" / "us.csv").unlink()
    code, drawn = on_a_terminal(place, "download", "run.yaml")
    assert code == 11
    assert drawn.count("DatasetMissing") == 1
    assert "failed" in drawn
    assert "stderr.log" in drawn


def test_pipe_gets_plain_lines(place: Path):
    """Nothing is printed twice, and there are no escape sequences."""
    words = [sys.executable, "-m", "qlib_shadow_runner", "download", "run.yaml"]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout
    *remarks, end = done.stdout.splitlines()
    note, warning = sorted(remarks)  # they come through two pipes, in either order
    assert warning.startswith("  download   warning: the dataset's quality: stale_end found ")
    assert note == "  download   note: symbols renamed from the files (1): NA is NA_"
    assert re.fullmatch(
        r"  download   done: prices 1 .* to 2024-01-29, fingerprint [0-9a-f]{12}  \d+\.\d s", end
    )


LINES = [
    "=== a header ===\n",
    "download https://host/us.zip, 10.0 MiB\n",
    "download us.zip: 5.0 MiB of 10.0 MiB (50%), 1.0 MiB/s, 0:05 left\n",
    "unpack us.zip: 4,000 files, 20.0 MiB\n",
    "warning: the dataset's quality: odd\n",
    "synthetic 61 symbols\n",
]


def test_download_shows_how_far_it_is(capsys: pytest.CaptureFixture[str]):
    """Line by line in a log; on a terminal in the one line."""
    plain, living = PlainDisplay(Stage.DOWNLOAD), LiveDisplay(Stage.DOWNLOAD)
    for line in LINES:
        plain.line(line)
        living.line(line)
        if "left" in line:
            assert "(50%), 1.0 MiB/s, 0:05 left" in living._draw().plain
    printed = [line.removeprefix("  download   ") for line in capsys.readouterr().out.splitlines()]
    assert [line for line in printed if "quality" not in line] == [line.rstrip() for line in LINES[1:4]]
    assert printed.count("warning: the dataset's quality: odd") == 2  # once by each of the two


def test_steps_are_recognised_in_the_output_of_qrun():
    """Steps come in order; a missing line does not hide the later steps."""
    progress = StageProgress(Stage.QRUN)
    assert progress.read("… INFO - qlib successfully initialized based on client settings.") == "features"
    assert progress.read("noise") is None
    assert progress.read("… Create new exchange") == "backtest"
    assert progress.read("backtest loop:   0%|          | 0/361 [00:00<?, ?it/s]") is None
    assert progress.read("Training until validation scores don't improve") is None
    assert progress.read("exporting signals, metrics and summary") == "export"
    assert progress.read("making the report") == "report"


def test_backtest_without_a_log_line_is_recognised_by_its_loop():
    """Qlib logs nothing when the fast engine's exchange is created."""
    assert (
        StageProgress(Stage.QRUN).read("backtest loop:   0%|          | 0/361 [00:00<?, ?it/s]") == "backtest"
    )


@pytest.mark.parametrize("display", [PlainDisplay, LiveDisplay])
def test_letters_of_strangers_do_not_reach_the_terminal(
    display: type[PlainDisplay | LiveDisplay], capsys: pytest.CaptureFixture[str]
):
    """Neither in a remark and in how far a download is, nor in what a stage ended with."""
    shown = display(Stage.DOWNLOAD)
    for letters in map(str.strip, LETTERS):
        shown.line(f"note: the symbol {letters}\n")
        shown.line(f"download us{letters}.zip, 10.0 MiB\n")
        if isinstance(shown, LiveDisplay):
            assert is_seen(shown._draw().plain)
    shown.close("".join(LETTERS), failed=False)
    output = capsys.readouterr().out
    assert is_seen(ESCAPES.sub("", output).replace("\r", ""))
    assert not any(line.startswith("forged") for line in re.split(r"[\r\n]+", output))

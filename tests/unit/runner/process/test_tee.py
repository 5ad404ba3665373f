"""The output of a stage and its children is in the logs and still on the terminal."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.special_files import replace

if TYPE_CHECKING:
    from pathlib import Path

BODY = """
    import os, subprocess, sys
    from pathlib import Path
    from qlib_shadow_runner.process.tee import Tee
    folder = Path(sys.argv[1])
"""


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run a script that tees."""
    script = textwrap.dedent(BODY) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=False
    )


def test_both_streams_are_copied_from_this_process_and_its_children(tmp_path: Path):
    """Descriptors are diverted, not Python's objects."""
    done = run(
        tmp_path,
        """
        with Tee(tmp := folder):
            print("ours")
            os.write(2, b"native\\n")
            subprocess.run(["sh", "-c", "echo child; echo worse >&2"], check=True)
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ours\nchild\n", "native\nworse\n")
    assert (tmp_path / "stdout.log").read_text() == "ours\nchild\n"
    assert (tmp_path / "stderr.log").read_text() == "native\nworse\n"


def test_the_logs_of_attempts_are_appended_under_headers(tmp_path: Path):
    """A second attempt never erases the first."""
    for attempt in ("first", "second"):
        run(tmp_path, f"with Tee(folder) as tee:\n    tee.header('{attempt}')\n    print('{attempt} says')")
    assert (tmp_path / "stdout.log").read_text() == "=== first ===\nfirst says\n=== second ===\nsecond says\n"
    assert (tmp_path / "stderr.log").read_text() == "=== first ===\n=== second ===\n"


def test_the_error_tail_is_that_of_this_attempt(tmp_path: Path):
    """The last attempt's failure is not this one's."""
    (tmp_path / "stderr.log").write_text("OldError: before\n")
    done = run(
        tmp_path,
        "with Tee(folder) as tee:\n    os.write(2, b'NewError: now\\n')\n    print(tee.error_tail())",
    )
    assert done.stdout == "NewError: now\n\n"


def test_details_are_written_to_the_file_alone(tmp_path: Path):
    """A traceback is for readers of the log."""
    done = run(tmp_path, "with Tee(folder) as tee:\n    tee.write_to_log('Traceback\\n')")
    assert done.stdout + done.stderr == ""
    assert (tmp_path / "stderr.log").read_text() == "Traceback\n"


def test_a_full_disk_does_not_stop_the_work(tmp_path: Path):
    """The log is lost, the output and the work are not."""
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    done = run(tmp_path, f"{full}with Tee(folder):\n    print('on' * 100000)")
    assert (done.returncode, len(done.stdout)) == (0, 200001)


@pytest.mark.parametrize("size", [1, 65536, 1_000_000])
def test_every_byte_is_copied(tmp_path: Path, size: int):
    """Whatever the pipe's size."""
    done = run(tmp_path, f"with Tee(folder):\n    os.write(1, b'')\n    sys.stdout.write('x' * {size})")
    assert len(done.stdout) == (tmp_path / "stdout.log").stat().st_size == size


def test_terminal_gets_escapes_and_the_file_every_byte(tmp_path: Path):
    """A library's log may quote a stranger; a bar that redraws its line still does."""
    printed = b"bar: 10%\rbar: 20%\r\n\ttab \xc3\xa9\xff\n\x1b[2J\x07\xe2\x80\xae\x9b31m\xc2\x85"
    done = run(tmp_path, f"with Tee(folder):\n    os.write(1, {printed!r})")
    assert (tmp_path / "stdout.log").read_bytes() == printed
    assert (
        done.stdout.encode() == b"bar: 10%\nbar: 20%\n\ttab \xc3\xa9\\xff\n\\x1b[2J\\x07\\u202e\\x9b31m\\x85"
    )


def test_letter_that_comes_in_two_pieces_is_shown_whole(tmp_path: Path):
    """And one whose last bytes never come is shown in the end."""
    done = run(
        tmp_path,
        """
        import time
        written = 0
        with Tee(folder):
            for piece in (b"\\xe2", b"\\x82\\xac \\xe2\\x80", b"\\xae \\xe2"):
                written += os.write(1, piece)
                while (folder / "stdout.log").stat().st_size < written:
                    time.sleep(0.001)
        """,
    )
    assert done.stdout == "€ \\u202e \\xe2"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("damage", ["FIFO", "link", "folder"])
def test_a_log_that_is_no_file_is_refused(tmp_path: Path, damage: str):
    """Opening a FIFO would wait for a reader, and a link could lead to another run's log."""
    replace(tmp_path / "stderr.log", damage)
    done = run(tmp_path, "with Tee(folder):\n    print('on')")
    assert done.returncode == 1
    assert "DamagedFileError" in done.stderr
    assert "stderr.log is a " in done.stderr

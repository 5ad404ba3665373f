"""The child that reads pickles: closed, limited, and followed by a sentence however it ends."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from tests.unit.runner.pickles.attacks import calling, of_addresses, patching
from tests.unit.runner.report.recorded_runs import Shape, artifacts_of, make_run
from tests.unit.runner.special_files import SPECIAL

from qlib_shadow_runner.pickles.answer import split
from qlib_shadow_runner.pickles.files import RECORDED_IN
from qlib_shadow_runner.tables.conversion import convert
from qlib_shadow_runner.tables.files import first_difference
from qlib_shadow_runner.tables.layout import COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

MEBIBYTE = 1 << 20
IC = pd.Series([0.1, 0.2], index=pd.bdate_range("2024-01-01", periods=2))
CLOSED = """
import os, socket, sys
from qlib_shadow_runner.pickles.closed import close_self
code = compile("1", "x", "eval")
close_self()
allowed = []
for name, action in {
    "open": lambda: open("/etc/hostname"),
    "import": lambda: __import__("zipfile"),
    "eval": lambda: eval(code),
    "start": lambda: os.system("true"),
    "list": lambda: os.listdir("/"),
    "socket": lambda: socket.socket(),
    "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
}.items():
    try:
        action()
    except PermissionError:
        continue
    allowed.append(name)
sys.stdout.write(f"{allowed} {sum(range(4))}")
"""


def read(content: bytes, *, memory: int = 512 * MEBIBYTE, seconds: int = 20) -> str:
    """Return what the child says of a file in the place of the daily correlations."""
    reading, writing = os.pipe()
    with subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "qlib_shadow_runner.pickles",
            str(memory),
            str(seconds),
            f"{RECORDED_IN['ic']}={reading}",
        ],
        stdout=subprocess.PIPE,
        pass_fds=[reading],
    ) as child:
        os.close(reading)
        with os.fdopen(writing, "wb") as stream:
            stream.write(content)
        answer, _ = child.communicate()
    assert child.returncode == 0
    header, _ = split(answer)
    return "table" if "ic" in header["tables"] else header["faults"][RECORDED_IN["ic"]]


def test_nothing_can_be_done_but_to_compute():
    """No file, no module, no process, no socket, by the kernel or by Python."""
    done = subprocess.run([sys.executable, "-c", CLOSED], capture_output=True, text=True, check=True)
    assert done.stdout == "[] 6"


def test_memory_is_limited():
    """A pickle whose content needs more than the limit is a sentence."""
    assert read(pickle.dumps(IC)) == "table"
    assert read(b"\x80\x04" + b"]" * MEBIBYTE, memory=60 * MEBIBYTE) == "it takes more than 60 MiB of memory"


def test_time_is_limited():
    """The child itself tells that its time is over."""
    assert read(b"\x80\x04" + b"N0" * (20 * MEBIBYTE), seconds=1) == "it takes more than 1 seconds"


TWICE = b")" + b"2\x86" * 1_000
"""A tuple of tuples, which takes for ever to hash, to compare or to write."""


def with_number(content: bytes, name: bytes, size: int) -> bytes:
    """Return a pickle in which an attribute is a number of so many bytes."""
    before, after = name + b"\x94K", name + b"\x94\x8b" + size.to_bytes(4, "little") + b"\x7f" * size
    assert before in content
    at = content.index(before) + len(before)
    return content[: at - len(before)] + after + content[at + 1 :]


BOMBS = {
    "a type that takes for ever to name": pickle.dumps(IC, 4).replace(b"\x8c\x01<", TWICE, 1),
    "numbers that take long to divide": with_number(
        with_number(pickle.dumps(pd.Series([1.0]), 4), b"stop", 2 * MEBIBYTE), b"step", MEBIBYTE
    ),
    "a memo of gigabytes": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a key that takes for ever": b"\x80\x04}" + TWICE + b"Ns.",
    "a deep key": b"\x80\x04})" + b"\x85" * 300_000 + b"Ns.",
    "a deep list": b"\x80\x04" + b"]" * 300_000 + b"a" * 299_999 + b".",
    "a long number": b"\x80\x04\x8b\x00\x00\x10\x00" + b"\xff" * MEBIBYTE + b".",
    "a patch": patching("pandas", "Index", "equals"),
    "a call": calling("os", "system", "true"),
    "addresses": of_addresses(IC.to_frame()),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_bomb_is_a_sentence(content: bytes):
    """The child ends by itself."""
    assert read(content) not in ("", "table")


def test_names_that_are_named_a_million_times_are_refused(tmp_path: Path):
    """A text of a megabyte for each row would be a terabyte."""
    days, names = pd.bdate_range("2024-01-01", periods=1), ["x" * MEBIBYTE]
    rows = pd.MultiIndex.from_product([days, names]).repeat(2_000)
    (tmp_path / "a").mkdir()
    pd.DataFrame({"score": 1.0}, index=rows).to_pickle(tmp_path / "a" / "pred.pkl")
    found = convert(tmp_path, tmp_path / "a")
    assert found.faults["pred.pkl"] == "cannot be read (its names are too long)"


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_file_is_a_sentence(tmp_path: Path, kind: str):
    """It is not waited for, and no link is followed; the other files are read."""
    folder = make_run(tmp_path, shape=Shape(days=20, symbols=3))
    path = artifacts_of(folder) / "pred.pkl"
    path.unlink()
    SPECIAL[kind](path)
    found = convert(folder, artifacts_of(folder))
    assert "pred.pkl" in found.faults
    assert found.found.keys() == COLUMNS.keys() - {"predictions"}


ENDINGS = {
    "a fault of memory": ("kill -SEGV $$", "the process that read it was ended by SIGSEGV"),
    "no memory": (
        "kill -KILL $$",
        "the process that read it was killed, as the kernel does when memory runs out",
    ),
    "an error": ("exit 3", "the process that read it ended with code 3"),
    "half an answer": ("printf x", "it is shorter than it says"),
    "no answer": ("true", "it is shorter than it says"),
    "more than an answer": ("head -c 9000000 /dev/zero", "there is more in it than its size allows"),
    "an answer that is none": (r"printf '[]\2\0\0\0\0\0\0\0'", "it is no object"),
    "an answer without tables": (r"printf '{}\2\0\0\0\0\0\0\0'", "it has no tables"),
}


@pytest.mark.parametrize(("script", "says"), ENDINGS.values(), ids=ENDINGS)
def test_end_of_the_child_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
):
    """Whatever another program than the child does in its place."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    (tmp_path / "a" / "sig_analysis").mkdir(parents=True)
    IC.to_pickle(tmp_path / "a" / RECORDED_IN["ic"])
    found = convert(tmp_path, tmp_path / "a")
    assert found.found == {}
    assert found.faults[RECORDED_IN["ic"]] == f"cannot be read ({says})"


def test_conversion_gives_the_same_again(tmp_path: Path):
    """Equal files have equal tables, and other files have others."""
    folder = make_run(tmp_path, shape=Shape(days=20, symbols=3))
    one = convert(folder, artifacts_of(folder))
    assert first_difference(one, convert(folder, artifacts_of(folder))) is None
    IC.to_pickle(artifacts_of(folder) / RECORDED_IN["ic"])
    assert first_difference(one, convert(folder, artifacts_of(folder))) == "ic"

"""The recorder's pickles as tables: the only place from which pickles are read, and by a child.

The child has limits, no network and no way to open anything. However it ends, there is a sentence.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.pickles.files import FILES, OPTIONAL
from qlib_shadow_runner.pickles.limits import most_memory, most_seconds
from qlib_shadow_runner.process.environment import inherited
from qlib_shadow_runner.process.limits import read_limits
from qlib_shadow_runner.storage.relative_names import UnsafeNameError
from qlib_shadow_runner.storage.untrusted import GIB, MIB, FileKind, fault_of, open_file
from qlib_shadow_runner.tables.layout import Tables
from qlib_shadow_runner.tables.rebuild import rebuild

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

PICKLE: Final = FileKind("pickle", 2 * GIB)
"""Predictions take 12 bytes for a day and an instrument."""
ANSWER_MORE: Final = MIB
"""How much larger than the pickles an answer may be."""
WAIT_FACTOR: Final = 10
"""How much longer than its processor time the child may take, beside other work."""


def convert(folder: Path, artifacts: Path) -> Tables:
    """Return the tables of the recorder's files in a folder of a run folder."""
    name = artifacts.relative_to(folder).as_posix()
    faults: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        opened: dict[str, BinaryIO] = {}
        for file in FILES:
            try:
                opened[file] = stack.enter_context(open_file(folder, f"{name}/{file}", PICKLE))
            except (FileNotFoundError, NotADirectoryError):
                if file not in OPTIONAL:
                    faults[file] = "is not there"
            except OSError as error:
                faults[file] = fault_of(error)
            except UnsafeNameError as error:
                faults[file] = f"cannot be read ({error})"
        found = _read(opened)
    return Tables(found.found, {**faults, **found.faults})


def _read(opened: dict[str, BinaryIO]) -> Tables:
    size = sum(os.fstat(stream.fileno()).st_size for stream in opened.values())
    try:
        return rebuild(_answer(opened, size))
    except (ValueError, RecursionError) as error:
        return Tables({}, dict.fromkeys(opened, f"cannot be read ({error})"))


def _answer(opened: dict[str, BinaryIO], size: int) -> bytes:
    """Return the answer of a child to which these files are open."""
    descriptors = {file: stream.fileno() for file, stream in opened.items()}
    memory, seconds = most_memory(size, read_limits().memory_bytes), most_seconds(size)
    words = [f"{file}={number}" for file, number in descriptors.items()]
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "qlib_shadow_runner.pickles", str(memory), str(seconds), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=tuple(descriptors.values()),
        env={**inherited(os.environ), "PYTHONHASHSEED": "random"},  # no one can know which texts collide
    )
    end = threading.Timer(WAIT_FACTOR * seconds, child.kill)
    end.start()
    try:
        assert child.stdout is not None, "it is a pipe"
        content = child.stdout.read(size + ANSWER_MORE + 1)
        if len(content) > size + ANSWER_MORE:
            raise ValueError("there is more in it than its size allows")
        code = child.wait()
    finally:
        child.kill()
        child.wait()
        end.cancel()
        child.stdout.close()  # type: ignore[union-attr]
    if code != 0:
        raise ValueError(_ending(code))
    return content


def _ending(code: int) -> str:
    """Return how a child ended that gave no answer."""
    if code == -signal.SIGKILL:
        return "the process that read it was killed, as the kernel does when memory runs out"
    if code < 0:
        return f"the process that read it was ended by {signal.Signals(-code).name}"
    return f"the process that read it ended with code {code}"

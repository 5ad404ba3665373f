"""`python -P -m qlib_shadow_runner.pickles MEMORY SECONDS FILE=DESCRIPTOR…`: read what a recorder left.

The process that starts this one has opened the files. Before their content is looked at, this process limits
and closes itself. It writes one answer; a file that cannot be read is a sentence in it.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from qlib_shadow_runner.pickles.answer import Answer
from qlib_shadow_runner.pickles.closed import close_self
from qlib_shadow_runner.pickles.limits import MEBIBYTE, OutOfTime, finish_in_time, limit_self
from qlib_shadow_runner.pickles.machine import read_pickle
from qlib_shadow_runner.pickles.nodes import Unrecognised
from qlib_shadow_runner.pickles.recorded import FINDERS

if TYPE_CHECKING:
    from typing import BinaryIO


def main(memory: int, seconds: int, files: dict[str, BinaryIO]) -> None:
    """Answer with the tables of every file that can be read, and with a sentence for every other."""
    answer, left = Answer(sys.stdout.buffer), list(files)
    gc.disable()  # the process ends before anything would have to be collected
    limit_self(memory, seconds)
    close_self()
    try:
        while left:
            _read(answer, left[0], files[left[0]], memory)
            del left[0]
    except OutOfTime:
        answer.faults |= dict.fromkeys(left, f"it takes more than {seconds} seconds")
    finish_in_time()
    answer.finish()
    os._exit(0)  # ending in the usual way would do what others have registered for it


def _read(answer: Answer, file: str, stream: BinaryIO, memory: int) -> None:
    """Add the tables of a file to the answer, or what is wrong with it."""
    try:
        for name, columns in FINDERS[file](read_pickle(stream.read())).items():
            answer.add(name, columns)
    except Unrecognised as why:
        answer.faults[file] = str(why)
    except MemoryError:
        answer.faults[file] = f"it takes more than {memory // MEBIBYTE:,} MiB of memory"
    except OutOfTime:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a damaged pickle provokes is a finding
        answer.faults[file] = f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    words = [word.rpartition("=") for word in sys.argv[3:]]
    main(
        int(sys.argv[1]),
        int(sys.argv[2]),
        {file: open(int(number), "rb") for file, _, number in words},  # noqa: PTH123, SIM115 - a descriptor
    )

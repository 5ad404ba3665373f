"""`python -P -m qlib_shadow_runner.pickles MEMORY SECONDS FILE=DESCRIPTOR…`: read what a recorder left.

The process that starts this one has opened the files. Before their content is looked at, this process limits and
closes itself. It writes one answer; a file that cannot be read is a sentence in it.
"""

from __future__ import annotations

import gc
import os
import sys

from qlib_shadow_runner.pickles.answer import Answer
from qlib_shadow_runner.pickles.closed import close_self
from qlib_shadow_runner.pickles.limits import MEBIBYTE, OutOfTime, limit_self
from qlib_shadow_runner.pickles.machine import read_pickle
from qlib_shadow_runner.pickles.nodes import Unrecognised
from qlib_shadow_runner.pickles.recorded import FINDERS


def main(memory: int, seconds: int, files: dict[str, int]) -> None:
    """Answer with the tables of every file that can be read, and with a sentence for every other."""
    answer = Answer(sys.stdout.buffer)
    gc.disable()  # the process ends before anything would have to be collected
    limit_self(memory, seconds)
    close_self()
    for file, descriptor in files.items():
        try:
            for name, columns in FINDERS[file](read_pickle(_content(descriptor))).items():
                answer.add(name, columns)
        except Unrecognised as why:
            answer.faults[file] = str(why)
        except MemoryError:
            answer.faults[file] = f"it takes more than {memory // MEBIBYTE:,} MiB of memory"
        except OutOfTime:
            answer.faults[file] = f"it takes more than {seconds} seconds"
        except Exception as error:  # noqa: BLE001 - whatever a damaged pickle provokes is a finding
            answer.faults[file] = f"{type(error).__name__}: {error}"
    answer.finish()
    os._exit(0)  # ending in the usual way would do what others have registered for it


def _content(descriptor: int) -> bytes:
    parts = []
    while part := os.read(descriptor, MEBIBYTE):
        parts.append(part)
    return b"".join(parts)


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        int(sys.argv[2]),
        {name: int(number) for name, _, number in (word.rpartition("=") for word in sys.argv[3:])},
    )

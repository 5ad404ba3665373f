"""`python -m qlib_shadow_runner` and `qlib-shadow`."""

from __future__ import annotations

import gc
import os
import sys
from typing import Final

READING: Final = frozenset({"verify", "report", "compare"})
"""Commands that read one run or a few, and end: most of their time is the import of libraries."""
COLLECT_AFTER: Final = 100_000


def main() -> int:
    """Hand over to the command line."""
    if READING.intersection(sys.argv[1:2]):
        _start_lightly()
    from qlib_shadow_runner.cli import main as command_line  # noqa: PLC0415 - nothing at import

    return command_line(sys.argv[1:])


def _start_lightly() -> None:
    """Save a tenth of the processor time: no thread for each core, and no search for garbage in imports."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(COLLECT_AFTER)


if __name__ == "__main__":
    raise SystemExit(main())

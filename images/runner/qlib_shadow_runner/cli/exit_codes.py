"""The exit codes of the command line, with what each means."""

from __future__ import annotations

from typing import Final

WRONG_USAGE: Final = 2
INTERRUPTED_BY_HAND: Final = 130
EXIT_CODES: Final = {
    0: "done",
    1: "a check failed, or a defect of qlib-shadow",
    WRONG_USAGE: "wrong usage",
    10: "the manifest, or what was typed, must be corrected",
    11: "the data is missing, broken, too old or too short",
    12: "something tried to trade or to reach the network",
    13: "may pass: network, lock, busy volume; try again",
    14: "the volume is full",
    15: "a book of the ledger does not hold; nothing is written over it",
    INTERRUPTED_BY_HAND: "interrupted by hand (Ctrl-C)",
    137: "out of memory",
    143: "told to stop (SIGTERM), or not done within its deadline",
}
"""A command that runs stages ends with the code of the stage that failed."""

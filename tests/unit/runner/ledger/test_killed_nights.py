"""A night that is killed, wherever, is recorded by the next attempt to the same bytes as without the kill.

QLIB_SHADOW_CHAOS_LEDGER_KILLS asks for more kills.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from qlib_shadow_runner.crash_points import LedgerPoint

KILLS: Final = int(os.environ.get("QLIB_SHADOW_CHAOS_LEDGER_KILLS", "150"))
SEED: Final = random.SystemRandom().randrange(10**6) if "QLIB_SHADOW_CHAOS_LEDGER_KILLS" in os.environ else 1
RACES: Final = max(5, KILLS // 20)
READ: Final = max(3, KILLS // 50)
ROOT: Final = Path(__file__).parents[4]


def killed_nights(*arguments: str) -> str:
    """Return what the process that forks nights prints; it ends with an error where a book is wrong."""
    command = [sys.executable, "-m", "tests.unit.runner.ledger.killed_nights", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_nights_that_are_killed_at_random_leave_the_bytes_of_nights_that_are_not():
    """Each named point is among the kills."""
    said = killed_nights(str(KILLS), str(SEED))
    kills = {point: re.search(rf"{point} (\d+)", said) for point in LedgerPoint}
    assert all(found and int(found[1]) > 0 for found in kills.values()), said


def test_of_two_runs_that_race_for_one_day_one_decides_and_the_other_finds_it_recorded():
    """They race for the beginning of the book and for two days more."""
    assert f"{RACES} races" in killed_nights(str(RACES), "race")


def test_a_book_that_is_read_while_nights_are_written_is_always_a_chain_that_grows():
    """Pages, tables and commands hold no lock."""
    assert f"{READ} books read" in killed_nights(str(READ), "read")

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
ROOT: Final = Path(__file__).parents[4]


def test_nights_that_are_killed_at_random_leave_the_bytes_of_nights_that_are_not():
    command = [sys.executable, "-m", "tests.unit.runner.ledger.killed_nights", str(KILLS), str(SEED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"seed {SEED}\n{done.stdout}{done.stderr}"
    kills = {point: int(re.search(rf"'{point}'>: (\d+)", done.stdout)[1]) for point in LedgerPoint}
    assert min(kills.values()) > 0, kills

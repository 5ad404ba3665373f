"""Random templates are filled in or refused, in little memory and processor time.

QLIB_SHADOW_CHAOS_TEMPLATES asks for more of them, each time others.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

THOROUGH = "QLIB_SHADOW_CHAOS_TEMPLATES" in os.environ
COUNT = os.environ.get("QLIB_SHADOW_CHAOS_TEMPLATES", "40")


def test_random_templates_take_little_memory_and_time():
    """A child process, which the kernel stops where one of them takes more."""
    program = Path(__file__).with_name("random_templates.py")
    seed = str(secrets.randbelow(10**9) if THOROUGH else 250)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program), seed, COUNT],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"template {done.stdout.split()[-1:]}: {done.stderr}"

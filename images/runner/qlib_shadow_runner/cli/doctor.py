"""`qlib-shadow doctor`: whether this machine or container can do a run, and what to do where it cannot."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from qlib_shadow_runner.cli.health import CHECKS, Machine
from qlib_shadow_runner.cli.printing import print_json
from qlib_shadow_runner.contract import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


def print_health(data: Path, *, as_json: bool, surroundings: Machine | None = None) -> int:
    """Print every check; 0 only when all of them hold."""
    here = surroundings or Machine(data.absolute())
    findings = [check(here) for check in CHECKS]
    healthy = all(finding.passed for finding in findings)
    if as_json:
        document = {"passed": healthy, "checks": [asdict(finding) for finding in findings]}
        print_json(document)
    else:
        sys.stdout.write("".join(f"{finding}\n" for finding in findings))
    return ExitCode.DONE if healthy else ExitCode.INTERNAL

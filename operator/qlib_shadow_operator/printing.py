"""The one module of the operator that writes to stdout and stderr; its log is in telemetry/logs."""

from __future__ import annotations

import sys

from qlib_shadow_runner.contract.escapes import in_one_line


def print_line(line: str) -> None:
    """Print one line at once; what it quotes cannot steer a terminal, and adds no line."""
    sys.stdout.write(in_one_line(line) + "\n")
    sys.stdout.flush()


def print_error(line: str) -> None:
    """Print one line to stderr, in the same way."""
    sys.stderr.write(in_one_line(line) + "\n")

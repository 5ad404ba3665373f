"""`python -m qlib_shadow_runner` and `qlib-shadow`."""

from __future__ import annotations

import sys


def main() -> int:
    """Hand over to the command line."""
    from qlib_shadow_runner.cli import main as command_line  # noqa: PLC0415 - nothing at import

    return command_line(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())

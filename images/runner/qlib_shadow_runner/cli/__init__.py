"""`qlib-shadow`: runs without a cluster, and commands that read what runs left on the volume.

`commands` is the table of all commands. Each row names the function that does the work, and that function's
module is imported only when its command is called.
"""

from __future__ import annotations

from qlib_shadow_runner.cli.command_line import main

__all__ = ["main"]

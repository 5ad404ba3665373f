"""`qlib-shadow`: the same runs without a cluster, and a look at what a run left."""

from __future__ import annotations

from qlib_shadow_runner.cli.commands import main

__all__ = ["main"]

"""A made-up stock market with a weak signal that a model can learn."""

from __future__ import annotations

from qlib_shadow_runner.dataset.synthetic.write_market import Market, write_market

__all__ = ["Market", "write_market"]

"""How far chance alone takes a book from what it is held against, if that is asked each night.

A band of two deviations holds for one look. Asked every night, a third of all books would leave it by chance
sooner or later. These limits come from a simulation, `make calibrate-promise`: one book in twenty leaves its
band falsely within five years.
"""

from __future__ import annotations

from typing import Final

FEWEST: Final = 20
"""Days; nothing is said of fewer."""
OF_PROMISE: Final = 3.4
"""Deviations around the sum of what backtests promised, the error of that estimate among them."""
OF_TRACKING: Final = 3.1
"""Deviations of the daily differences between the paper account and the backtest of the same days."""

"""One command of the command line, as the table of commands lists it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from qlib_shadow_runner.cli.options import AddOption


class Command(NamedTuple):
    """One row of the table."""

    function: str
    """module:function below qlib_shadow_runner; called with the options' values as keyword arguments."""
    summary: str
    options: tuple[AddOption, ...]
    details: str = ""

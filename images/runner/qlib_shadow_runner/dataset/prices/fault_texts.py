"""Build the error sentences about price files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def broken(file: str, what: str) -> NoReturn:
    """Raise the error that a file is invalid; `what` gives the cause and the remedy."""
    raise StageError(Reason.DATASET_INVALID, f"{file} {what}")


def listed(examples: Sequence[str], total: int) -> str:
    """Return the examples as a list, with an ellipsis where there are more."""
    shown = ", ".join(examples)
    return f"{shown}, …" if total > len(examples) else shown


def rows(count: int) -> str:
    """Return a number of rows in words."""
    return "1 row" if count == 1 else f"{count:,} rows"


def cut(value: object) -> str:
    """Return a cell's text, cut to a readable length."""
    shown = str(value)
    return shown if len(shown) <= 40 else shown[:39] + "…"  # noqa: PLR2004

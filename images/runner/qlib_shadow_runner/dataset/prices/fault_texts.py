"""How the sentences about somebody's files begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def broken(file: str, what: str) -> NoReturn:
    """Name the file, then what is wrong with it and what to do."""
    raise StageError(Reason.DATASET_INVALID, f"{file} {what}")


def listed(examples: Sequence[str], total: int) -> str:
    """Show the first few of many."""
    shown = ", ".join(examples)
    return f"{shown}, …" if total > len(examples) else shown


def rows(count: int) -> str:
    """Count rows in words that fit the number."""
    return "1 row" if count == 1 else f"{count:,} rows"


def cut(value: object) -> str:
    """Show a cell without letting it fill the line."""
    shown = str(value)
    return shown if len(shown) <= 40 else shown[:39] + "…"  # noqa: PLR2004 - a glance's worth

"""How the ledger's commands write money, shares and sentences, within the width of the terminal."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract.escapes import in_one_line
from qlib_shadow_runner.printing import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LABEL: Final = 12
NARROWEST, WIDEST = 60, 120
WHOLE: Final = 1e-6
"""A number of shares that is as near to a whole one is one."""


def money(value: float | None, digits: int = 2) -> str:
    """Return an amount of money."""
    return NOTHING if value is None else _unsigned_zero(f"{value:,.{digits}f}")


def gain(value: float | None, digits: int = 2) -> str:
    """Return an amount of money with its sign."""
    return NOTHING if value is None else _unsigned_zero(f"{value:+,.{digits}f}")


def share(value: float | None, digits: int = 1) -> str:
    """Return a share in percent."""
    return NOTHING if value is None else _unsigned_zero(f"{value:.{digits}%}")


def change(value: float | None, digits: int = 2) -> str:
    """Return a return in percent with its sign."""
    return NOTHING if value is None else _unsigned_zero(f"{value:+.{digits}%}")


def amount(value: float | None) -> str:
    """Return a number of shares: whole ones without a fraction."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value - round(value)) < WHOLE else f"{value:,.4f}"


def facts(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each label and text, and more where a text is longer than the terminal is wide."""
    for label, text in pairs:
        yield from paragraph(f"  {label:<{LABEL}} ", text)


def paragraph(head: str, text: str) -> list[str]:
    """Return a text behind its head, wrapped to the width of the terminal."""
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    return textwrap.wrap(
        in_one_line(text) or NOTHING,
        width,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
        break_long_words=False,
    )


def plural(number: int, word: str) -> str:
    """Return a number of things."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _unsigned_zero(text: str) -> str:
    return text if any(digit in text for digit in "123456789") else text.lstrip("+-")

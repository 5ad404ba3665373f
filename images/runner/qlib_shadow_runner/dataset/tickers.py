"""Find tickers in a dataset's lists that Qlib cannot read or reads as something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

READ_AS_MISSING: Final = frozenset(
    {
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    }
)
"""The texts that pandas reads as missing in Qlib's lists; Qlib then fails on the whole universe."""


def ticker_fault(symbol: str) -> str | None:
    """Return what is wrong with a ticker, or None."""
    if symbol in READ_AS_MISSING:
        return "which Qlib reads as missing"
    if "/" in symbol or "\\" in symbol or symbol in {".", ".."}:
        return "which would be a path in features/"
    if symbol.startswith('"'):
        return "whose quotation mark makes the list unreadable for Qlib"
    if symbol != symbol.strip() or not symbol.isprintable():
        return "which has a space at its edge or a control character"
    return None


def same_but_for_case(symbols: Iterable[str]) -> tuple[str, str] | None:
    """Return two tickers that share a folder because Qlib ignores case, or None."""
    seen: dict[str, str] = {}
    for symbol in symbols:
        other = seen.setdefault(symbol.lower(), symbol)
        if other != symbol:
            return other, symbol
    return None

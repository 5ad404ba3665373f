"""Recognise the header of a wide file, whose columns are pairs of a field and a symbol, as yfinance makes it.

    Price,Close,Close,Open,…            ('Close', 'AAPL')  ('Close', 'MSFT')  ('Open', 'AAPL')  …
    Ticker,AAPL,MSFT,AAPL,…
    Date,,,,…

CSV has two rows of names, Parquet has pandas' spelling of the pair as one name; here both become that name.
"""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.dataset.compressed import FAULTS
from qlib_shadow_runner.dataset.prices.column_roles import ROLES, plain

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable, Sequence

CORNERS: Final = frozenset({"", "ticker", "tickers", "symbol", "symbols", "price", "prices", "attributes"})
"""What stands above the dates, without case: the names of the two rows of names."""
PAIR: Final = re.compile(r"""\((['"])(?P<one>.*)\1, (['"])(?P<other>.*)\3\)""")
NEEDED: Final = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Pair:
    """What a column of a wide file holds."""

    field: str
    symbol: str
    column: str
    """The column's name in the file."""


def header_of_rows(
    names: Sequence[str], separator: str, opened: Callable[[], io.BufferedIOBase]
) -> tuple[list[str], int] | None:
    """Return one name for each column of a CSV file and the number of header lines; None if it has one."""
    if not names or plain(names[0]) not in CORNERS:
        return None
    try:
        with opened() as stream:
            rows = list(islice(csv.reader(codecs.getreader("utf-8-sig")(stream), delimiter=separator), 3))
    except (*FAULTS, csv.Error):
        return None  # reading the table reports it
    second = [cell.strip() for cell in rows[1]] if len(rows) > 1 else []
    if len(second) != len(names) or plain(second[0]) not in CORNERS or not all(second[1:]):
        return None
    made = [str(pair) for pair in zip(names[1:], second[1:], strict=True)]
    if not pairs_of(made):
        return None
    third = [cell.strip() for cell in rows[2]] if len(rows) > 2 else []  # noqa: PLR2004 - the third row
    has_index_name = len(third) == len(names) and not any(third[1:])
    return [(third[0] if has_index_name else "") or "date", *made], 3 if has_index_name else 2


def pairs_of(header: Sequence[str]) -> list[Pair]:
    """Return the columns that are pairs; none where they do not have the fields of a bar."""
    found = [(name, match) for name in header if (match := PAIR.fullmatch(name))]
    levels = {"one": "other", "other": "one"}
    for field, symbol in levels.items():
        if _are_fields(match[field] for _, match in found):
            return [Pair(match[field], match[symbol], name) for name, match in found]
    return []


def _are_fields(names: Iterable[str]) -> bool:
    known = {plain(name) for name in names}
    return all(known & ROLES[role].names for role in NEEDED)

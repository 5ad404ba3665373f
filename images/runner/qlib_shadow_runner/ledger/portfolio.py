"""Books that share capital: PORTFOLIO.json beside them, and the sums over all books."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.escapes import shorten
from qlib_shadow_runner.contract.spec.ledger import BOOK, BOOK_NAME
from qlib_shadow_runner.contract.strict_json import parse_json
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.entries import BOOK_FILE, PORTFOLIO_FILE
from qlib_shadow_runner.ledger.rules import Rules
from qlib_shadow_runner.storage.untrusted import DOCUMENT, fault_of, is_file, read_file
from qlib_shadow_runner.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from qlib_shadow_runner.ledger.overview import Overview

DEFAULT_REGION: Final = Rules.region
"""Of rules that do not name theirs."""
CAPITAL: Final = "capital"
SHARES: Final = "shares"
EXAMPLE: Final = '{"capital": 1000000, "shares": {"us-shadow": 0.6}}'
MOST: Final = 1e15
ROUNDING: Final = 1e-9
"""Shares such as 0.1, 0.2 and 0.7 add up to a little more than 1."""


@dataclass(frozen=True)
class Portfolio:
    """The capital of all books, and the share of each."""

    capital: float
    shares: Mapping[str, float]

    def of(self, book: str) -> float | None:
        """Return the capital with which a book begins; None where it has no share."""
        share = self.shares.get(book)
        return None if share is None else self.capital * share


@dataclass(frozen=True)
class Total:
    """The sums over the books of one region that can be read: money of several has no sum."""

    region: str
    books: int
    capital: float
    nav: float
    gross: float
    pnl: float | None
    """Of the last reconciled day of each; None where there is none yet."""

    @property
    def gross_share(self) -> float | None:
        """Return the share of the value that is in instruments."""
        return self.gross / self.nav if self.nav > 0 else None

    @property
    def since_start(self) -> float | None:
        """Return the return on the capital."""
        return self.nav / self.capital - 1 if self.capital else None

    def document(self) -> dict[str, Any]:
        """Return the sums as JSON."""
        return {
            "region": self.region,
            "books": self.books,
            "capital": self.capital,
            "nav": self.nav,
            "pnl": self.pnl,
            "gross": self.gross,
            "grossShare": self.gross_share,
        }


@dataclass(frozen=True)
class Totals:
    """All books: those that can be read are summed by region, the others are counted."""

    books: int
    damaged: int
    regions: tuple[Total, ...]

    def document(self) -> dict[str, Any]:
        """Return the sums as JSON."""
        regions = [one.document() for one in self.regions]
        return {"books": self.books, "damaged": self.damaged, "regions": regions}


def read_portfolio(ledgers: Path) -> Portfolio | None:
    """Return the portfolio file of a volume; None where there is none.

    What is wrong with it is refused in one sentence: a misread share would be a wrong capital for good.
    """
    try:
        content = read_file(ledgers, PORTFOLIO_FILE, DOCUMENT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _refused(ledgers, fault_of(error)) from error
    try:
        document = parse_json(content)
    except ValueError as error:
        raise _refused(ledgers, f"cannot be read: {error}") from error
    fault = _fault(document)
    if fault:
        raise _refused(ledgers, fault)
    assert isinstance(document, dict), "it was checked"
    shares = {book: float(share) for book, share in document[SHARES].items()}
    return Portfolio(float(document[CAPITAL]), shares)


def capital_of(ledgers: Path, book: str) -> tuple[float | None, float | None]:
    """Return the capital of a book by the portfolio file, and its share of the whole.

    Both are None where the file gives it none, or is not there. A book that has begun keeps its capital, so
    that a file which is wrong by now does not end its night.
    """
    try:
        portfolio = read_portfolio(ledgers)
    except StageError:
        if is_file(ledgers, f"{book}/{BOOK_FILE}"):
            return None, None
        raise
    capital = None if portfolio is None else portfolio.of(book)
    return (None, None) if portfolio is None or capital is None else (capital, portfolio.shares[book])


def totals_of(overviews: Iterable[Overview]) -> Totals:
    """Return the sums over books; damaged ones are counted and not summed."""
    every = list(overviews)
    known = [one for one in every if not one.is_damaged]
    by_region: dict[str, list[Overview]] = {}
    for one in known:
        by_region.setdefault(str((one.rules or {}).get("region", DEFAULT_REGION)), []).append(one)
    regions = tuple(_total(region, of_region) for region, of_region in sorted(by_region.items()))
    return Totals(len(every), len(every) - len(known), regions)


def _total(region: str, known: Sequence[Overview]) -> Total:
    pnls = [one.pnl for one in known if one.pnl is not None]
    return Total(
        region=region,
        books=len(known),
        capital=sum(one.capital or 0.0 for one in known),
        nav=sum(one.nav or 0.0 for one in known),
        gross=sum(one.gross or 0.0 for one in known),
        pnl=sum(pnls) if pnls else None,
    )


def _refused(ledgers: Path, fault: str) -> StageError:
    return StageError(Reason.INVALID_SPEC, f"{ledgers / PORTFOLIO_FILE} {fault}; it is like {EXAMPLE}")


def _fault(document: object) -> str | None:
    """Return what is wrong with the file, as the end of a sentence."""
    if not isinstance(document, dict):
        return "is not a JSON object"
    others = sorted(set(document) - {CAPITAL, SHARES})
    if others:
        hint = did_you_mean(others[0], (CAPITAL, SHARES))
        return f'has "{shorten(others[0], 60)}", which is unknown; {hint}'
    missing = [name for name in (CAPITAL, SHARES) if name not in document]
    if missing:
        return f'has no "{missing[0]}"'
    if not _is_between(document[CAPITAL], 1, MOST):
        return f"has a capital of {_shown(document[CAPITAL])}, which must be a number from 1 to {MOST:g}"
    shares = document[SHARES]
    if not isinstance(shares, dict) or not shares:
        return f"has shares that are {_shown(shares)}, which must give each book its share"
    return next(filter(None, map(_fault_of_share, shares.items())), None) or _fault_of_sum(shares)


def _fault_of_share(share: tuple[str, object]) -> str | None:
    book, value = share
    if not re.fullmatch(BOOK_NAME, book) or len(book) > BOOK.most:
        return f'has a share of "{shorten(book, 60)}", which cannot be the name of a book'
    if not _is_between(value, 0, 1) or value == 0:
        return f'has {_shown(value)} as the share of "{book}", which must be a number above 0 and at most 1'
    return None


def _fault_of_sum(shares: Mapping[str, float]) -> str | None:
    total = math.fsum(shares.values())
    if total <= 1 + ROUNDING:
        return None
    return f"has shares of {total:.6g} together, and at most 1 can be shared"


def _is_between(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _shown(value: object) -> str:
    words = {True: "true", False: "false", None: "null"}
    shown = words[value] if value is None or isinstance(value, bool) else repr(value)
    return shorten(shown, 60)

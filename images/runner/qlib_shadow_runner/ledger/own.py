"""Whether a run may write in a book: asked before anything is trained, and again by its night."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.ledger.entries import BOOK_FILE, BookDocument
from qlib_shadow_runner.ledger.forms import misfit
from qlib_shadow_runner.ledger.portfolio import capital_of
from qlib_shadow_runner.refusals import refuse
from qlib_shadow_runner.storage.untrusted import read_object

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.contract.spec.ledger import LedgerSpec


def capital_asked(spec: LedgerSpec, ledgers: Path) -> tuple[float | None, float | None]:
    """Return the capital of the spec, or that of the book's share; an existing book needs neither."""
    if spec.capital is not None:
        return spec.capital, None
    return capital_of(ledgers, spec.book)


def require_book(spec: LedgerSpec, ledgers: Path, namespace: str) -> None:
    """Refuse a run that does not fit its book as far as it is there, or a book that could not begin.

    A book that cannot be read is left to its night, which says how it is damaged; the run trains first.
    """
    capital, share = capital_asked(spec, ledgers)
    try:
        found = read_object(ledgers, f"{spec.book}/{BOOK_FILE}")
    except (FileNotFoundError, NotADirectoryError):
        require_capital(spec.book, capital)
        return
    except OSError:
        return
    if misfit(found, BookDocument) is None:
        require_own(spec.book, cast("BookDocument", found), namespace, capital, share)


def require_capital(name: str, capital: float | None) -> float:
    """Return the capital with which a book begins; refuse a beginning without one."""
    if capital is None:
        refuse(
            f"spec.ledger.capital: the book {name} begins, and neither is its capital given nor its share in "
            "the portfolio file of the volume; give one of the two",
            Reason.LEDGER_REFUSED,
        )
    return float(capital)


def require_own(
    name: str, book: BookDocument, namespace: str, capital: float | None, share: float | None
) -> None:
    """Refuse a run of another namespace than the book's, or with another capital."""
    if book["namespace"] != namespace:
        refuse(
            f"spec.ledger.book: the book {name} belongs to the namespace {book['namespace']}; name another "
            f"one for {namespace}",
            Reason.LEDGER_REFUSED,
        )
    if capital not in (None, book["capital"]) and share is None:
        refuse(
            f"spec.ledger.capital is {capital:,.2f}, and the book {name} has begun with "
            f"{book['capital']:,.2f}; leave capital out or as it was, or name another book",
            Reason.LEDGER_REFUSED,
        )

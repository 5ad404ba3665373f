"""The pages of books: all of them with their sum, and each with everything that its chain tells."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from qlib_shadow_runner.contract.spec import run_id_fault
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.documents import MEANS
from qlib_shadow_runner.ledger.portfolio import Portfolio, read_portfolio, totals_of
from qlib_shadow_runner.report.book.page import book_body, book_page, gain, money, tone_of
from qlib_shadow_runner.report.formats import signed, tone
from qlib_shadow_runner.runs.listing import artifacts_root
from qlib_shadow_runner.storage.untrusted import is_folder
from qlib_shadow_runner.texts import ended, one_line
from qlib_shadow_runner.ui.own_command import BusyError
from qlib_shadow_runner.ui.pages import page

if TYPE_CHECKING:
    from starlette.requests import Request

    from qlib_shadow_runner.ledger.overview import Overview
    from qlib_shadow_runner.report.book.page import BookView
    from qlib_shadow_runner.ui.book_table import BookTable
    from qlib_shadow_runner.ui.own_command import OwnCommand

FILE_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The page as a file has its style within; it needs no script, no origin and no network."""


@dataclass(frozen=True)
class BooksPages:
    """The answers; each method is one address."""

    table: BookTable
    command: OwnCommand

    def books(self, request: Request) -> Response:
        """Return the list of all books, and the sums over them."""
        del request
        overviews = self.table.overviews()
        portfolio, fault = self._portfolio()
        return HTMLResponse(
            page(
                "books.html.j2",
                here="books",
                volume=self.table.volume.mount,
                books=overviews,
                totals=totals_of(overviews),
                portfolio=portfolio,
                known={one.book: one for one in overviews},
                faults=[ended(one) for one in (self.table.fault, fault) if one],
                view=BooksView(),
            )
        )

    def book(self, request: Request) -> Response:
        """Return the page of one book."""
        view = self._view(request)
        about = view.overview
        values = {
            "name": about.book,
            "damaged": about.is_damaged,
            "body": book_body(view, self._runs_of(view)),
        }
        return HTMLResponse(page("book.html.j2", here="books", **values))

    def file(self, request: Request) -> Response:
        """Return the page of one book as a file that needs nothing else."""
        content = book_page(self._view(request))
        return HTMLResponse(content, headers={"Content-Security-Policy": FILE_POLICY})

    def difference(self, request: Request) -> Response:
        """Return why the account and the backtest of the newest run differ; it is computed now."""
        name = self._view(request).overview.book
        try:
            found, fault = self.command.json("ledger", "diff", name), None
        except (StageError, BusyError) as error:
            found, fault = None, ended(str(error))
        parts = [(part, MEANS[part], value) for part, value in found["parts"].items()] if found else []
        content = page(
            "difference.html.j2",
            here="books",
            name=name,
            found=found,
            parts=parts,
            fault=fault,
            view=BooksView(),
        )
        return HTMLResponse(content, HTTPStatus.OK if found else HTTPStatus.CONFLICT)

    def _portfolio(self) -> tuple[Portfolio | None, str | None]:
        """Return the portfolio file, and what is wrong with it."""
        try:
            return read_portfolio(self.table.ledgers), None
        except StageError as error:
            return None, error.message

    def _runs_of(self, view: BookView) -> set[str]:
        """Return the runs of the book's page that are on the volume."""
        root, names = artifacts_root(self.table.volume), {one.run for one in view.contents.nights}
        return {name for name in names if name and run_id_fault(name) is None and is_folder(root, name)}

    def _view(self, request: Request) -> BookView:
        name = request.path_params["name"]
        found = self.table.view(name)
        if found is None:
            raise HTTPException(
                HTTPStatus.NOT_FOUND, f'there is no book "{one_line(name, 80)}" on this volume'
            )
        return found


@dataclass(frozen=True)
class BooksView:
    """What the templates of lists of books ask for."""

    def tone(self, book: Overview) -> str:
        """Return the colour of a book's state."""
        return tone_of(book)

    def money(self, value: object) -> str:
        """Return an amount of money."""
        return money(value)

    def gain(self, value: object) -> str:
        """Return an amount of money with its sign."""
        return gain(value)

    def signed(self, value: object, digits: int = 2) -> str:
        """Return a share in percent with its sign."""
        return signed(value, digits)

    def colour(self, value: object) -> str:
        """Return the class of a gain or a loss."""
        return tone(value)

"""What `qlib-shadow ledger … --json` tells of books, by address; a fault is one sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.escapes import in_a_sentence
from qlib_shadow_runner.contract.spec import run_id_fault
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.documents import (
    list_document,
    nav_document,
    orders_document,
    positions_document,
    trend_document,
    verification_document,
)
from qlib_shadow_runner.ledger.portfolio import total_of
from qlib_shadow_runner.texts import one_line
from qlib_shadow_runner.ui.own_command import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from qlib_shadow_runner.ledger.overview import Overview
    from qlib_shadow_runner.ui.book_table import BookTable
    from qlib_shadow_runner.ui.own_command import OwnCommand

    Answer = Callable[["BooksApi", Request], Any]

DEFAULT_WEEKS: Final = "4"
MOST_WEEKS: Final = 520
STATUSES: Final = {Reason.INVALID_SPEC: HTTPStatus.BAD_REQUEST, Reason.LEDGER_DAMAGED: HTTPStatus.CONFLICT}
HEAD: Final = re.compile("[0-9a-f]{64}")
NUMBER: Final = re.compile("[0-9]{1,4}")


class RefusedError(Exception):
    """A request that cannot be answered; the text says why."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def _answered(*parameters: str) -> Callable[[Answer], Callable[[BooksApi, Request], Response]]:
    """Make a method's document an answer, and its fault one too; it takes these parameters alone."""

    def decorate(method: Answer) -> Callable[[BooksApi, Request], Response]:
        @wraps(method)
        def answer(self: BooksApi, request: Request) -> Response:
            try:
                _require_known(request, parameters)
                return JSONResponse(method(self, request))
            except RefusedError as error:
                return _refusal(error.status, str(error))
            except BusyError as error:
                return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            except StageError as error:
                status = STATUSES.get(error.reason, HTTPStatus.UNPROCESSABLE_ENTITY)
                return _refusal(status, error.message, error.reason)

        return answer

    return decorate


@dataclass(frozen=True)
class BooksApi:
    """The answers; each method is one address."""

    table: BookTable
    command: OwnCommand
    """For what reads a whole run, which a process of its own takes with it."""

    @_answered()
    def books(self, request: Request) -> Any:
        """Return all books with the sums over them."""
        del request
        overviews = self.table.overviews()
        return list_document(overviews, total_of(overviews).document())

    @_answered()
    def show(self, request: Request) -> Any:
        """Return the overview of a book; that of a damaged one says what is wrong."""
        return self._overview(request).document()

    @_answered("day")
    def orders(self, request: Request) -> Any:
        """Return the orders of a day, and what they came to."""
        return orders_document(self._chain(request), request.query_params.get("day"))

    @_answered("day")
    def positions(self, request: Request) -> Any:
        """Return the account at the end of a day."""
        return positions_document(self._chain(request), request.query_params.get("day"))

    @_answered()
    def nav(self, request: Request) -> Any:
        """Return the account's value day by day."""
        return nav_document(self._sound(request))

    @_answered("weeks")
    def trend(self, request: Request) -> Any:
        """Return the last weeks."""
        text = request.query_params.get("weeks", DEFAULT_WEEKS)
        weeks = int(text) if NUMBER.fullmatch(text) else 0
        if not 1 <= weeks <= MOST_WEEKS:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST,
                f'weeks must be a whole number from 1 to {MOST_WEEKS}, not "{one_line(text, 80)}"',
            )
        return trend_document(self._sound(request), weeks)

    @_answered("head")
    def verify(self, request: Request) -> Any:
        """Return what does not hold in a book, computed again from its files and from prices."""
        from qlib_shadow_runner.catalog.book_sources import VolumeSources  # noqa: PLC0415 - as above
        from qlib_shadow_runner.catalog.books import dataset_of  # noqa: PLC0415 - loads Arrow
        from qlib_shadow_runner.ledger.check import check_book  # noqa: PLC0415 - loads calendars

        head = request.query_params.get("head")
        if head is not None and not HEAD.fullmatch(head):
            raise RefusedError(
                HTTPStatus.BAD_REQUEST, "head must be the 64 hexadecimal digits that a run's status has"
            )
        found = self._overview(request)
        folder = self.table.ledgers / found.book
        with self.command.alone():
            dataset = dataset_of(self.table.volume, folder)
            checked = check_book(folder, dataset, head, VolumeSources(self.table.volume))
        return verification_document(found, checked, head, dataset.folder if dataset else None)

    @_answered("run")
    def difference(self, request: Request) -> Any:
        """Return why the account and the backtest of a run, the newest unless one is named, differ."""
        book, run = self._sound(request).book, request.query_params.get("run")
        if run is not None and run_id_fault(run) is not None:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f'"{one_line(run, 80)}" is not the id of a run')
        return self.command.json("ledger", "diff", book, *([run] if run else []))

    def _overview(self, request: Request) -> Overview:
        name = request.path_params["name"]
        view = self.table.view(name)
        if view is None:
            what = f'there is no book "{one_line(name, 80)}" on this volume'
            raise RefusedError(HTTPStatus.NOT_FOUND, what)
        return view.overview

    def _sound(self, request: Request) -> Overview:
        """Return the overview of a book that is not damaged."""
        found = self._overview(request)
        if found.is_damaged:
            raise StageError(Reason.LEDGER_DAMAGED, found.sentence)
        return found

    def _chain(self, request: Request) -> Chain:
        return Chain.read(self.table.ledgers / self._sound(request).book)


def _require_known(request: Request, parameters: tuple[str, ...]) -> None:
    known = {*parameters, "token"}
    other = next((name for name in request.query_params if name not in known), None)
    if other is None and all(len(request.query_params.getlist(name)) <= 1 for name in parameters):
        return
    takes = f"takes {' and '.join(parameters)} once" if parameters else "takes no parameters"
    raise RefusedError(HTTPStatus.BAD_REQUEST, f"{one_line(request.url.path, 200)} {takes}")


def _refusal(status: HTTPStatus, sentence: str, reason: Reason | None = None) -> Response:
    document = {"error": in_a_sentence(sentence), **({"reason": str(reason)} if reason else {})}
    return JSONResponse(document, status)

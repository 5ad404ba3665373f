"""The web pages by their addresses: each reads the volume, fills in a template, and changes nothing."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from qlib_shadow_runner.catalog.track_record import TrackRecord, records
from qlib_shadow_runner.contract import REPORT_FILE
from qlib_shadow_runner.contract.escapes import in_a_sentence, in_lines
from qlib_shadow_runner.report.book.page import book_style
from qlib_shadow_runner.runs.listing import ENDED
from qlib_shadow_runner.ui.book_table import BookTable
from qlib_shadow_runner.ui.books_api import BooksApi
from qlib_shadow_runner.ui.books_pages import BooksPages
from qlib_shadow_runner.ui.chart import cumulative_ic
from qlib_shadow_runner.ui.comparer import Comparer
from qlib_shadow_runner.ui.details import details
from qlib_shadow_runner.ui.nights_pages import NightsPages, series_link
from qlib_shadow_runner.ui.own_command import OwnCommand
from qlib_shadow_runner.ui.pages import now_in_utc, page
from qlib_shadow_runner.ui.resources import ListedResources, join
from qlib_shadow_runner.ui.run_files import LOGS, content, open_shown, read_log, shown_files
from qlib_shadow_runner.ui.run_table import PAGE_ROWS, RUNNING, SORTABLE, RunFilter, RunTable

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from qlib_shadow_runner.runs.listing import ListedRun
    from qlib_shadow_runner.storage.volume import Volume
    from qlib_shadow_runner.ui.resources import ResourceListing

STATUSES: Final = ("pending", "suspended", RUNNING, *sorted(ENDED))
"""Only a resource that has no folder yet is pending or suspended."""
BOOK_STYLE: Final = "book.css"
STATIC: Final = {
    "ui.css": "text/css; charset=utf-8",
    BOOK_STYLE: "text/css; charset=utf-8",
    "ui.js": "text/javascript; charset=utf-8",
}
REPORT_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""A report is the output of a run: it is shown without scripts, origin or network."""
NUMBER: Final = re.compile(r"[0-9]{1,18}")
PAGE_MAX: Final = 999_999
FEWEST_COMPARED: Final = 2
MOST_COMPARED: Final = 8
SEARCH_MAX: Final = 200
"""Characters of the words to search for."""


def application(volume: Volume, listing: ResourceListing | None = None) -> Starlette:
    """Return the application for one volume, and for the cluster whose runs are on it."""
    run_table = RunTable(volume)
    book_table = BookTable(volume)
    pages, nights = Pages(run_table, listing), NightsPages(run_table, listing, book_table)
    command = OwnCommand(volume.mount)
    books, api = BooksPages(book_table, command), BooksApi(book_table, command)
    routes = [
        Route("/", nights.morning),
        Route("/series", nights.series),
        Route("/runs", pages.runs),
        Route("/followup", pages.followup),
        Route("/compare", pages.compare),
        Route("/compare/page", pages.comparison),
        Route("/runs/{run_id}", pages.run),
        Route("/runs/{run_id}/report", pages.report),
        Route("/runs/{run_id}/logs/{name}", pages.log),
        Route("/runs/{run_id}/logs/{name}/from/{begin}", pages.log_from),
        Route("/runs/{run_id}/files/{name:path}", pages.file),
        Route("/books", books.books),
        Route("/book/{name}", books.book),
        Route("/book/{name}/ledger.html", books.file),
        Route("/book/{name}/difference", books.difference),
        Route("/api/books", api.books),
        Route("/api/books/{name}", api.show),
        Route("/api/books/{name}/orders", api.orders),
        Route("/api/books/{name}/positions", api.positions),
        Route("/api/books/{name}/nav", api.nav),
        Route("/api/books/{name}/trend", api.trend),
        Route("/api/books/{name}/verify", api.verify),
        Route("/api/books/{name}/diff", api.difference),
        Route("/static/{name}", static),
        Route("/healthz", healthz),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _failed})


@dataclass(frozen=True)
class Pages:
    """The answers; each method is one address."""

    run_table: RunTable
    listing: ResourceListing | None = None
    """The resources of the cluster; None where --resources is not given."""

    @cached_property
    def comparer(self) -> Comparer:
        """Return what makes comparisons of runs of this volume."""
        return Comparer(self.run_table.volume.mount)

    def runs(self, request: Request) -> Response:
        """Return the list of the runs that match the filter."""
        query = request.query_params
        run_filter = RunFilter(
            query.get("status", ""),
            query.get("q", "")[:SEARCH_MAX],
            min(max(1, _number(query.get("page", "1")) or 1), PAGE_MAX),
            query.get("sort", "") if query.get("sort") in SORTABLE else "",
            query.get("order") == "rising",
        )
        current = self._resources()
        rows = join(self.run_table.rows(), current.resources)
        chosen = run_filter.apply(rows)
        first = (run_filter.page - 1) * PAGE_ROWS
        return HTMLResponse(
            page(
                "runs.html.j2",
                here="runs",
                volume=self.run_table.volume.mount,
                fault=current.fault,
                in_cluster=self.listing is not None,
                run_filter=run_filter,
                statuses=STATUSES,
                counts={status: sum(row["status"] == status for row in rows) for status in STATUSES},
                total=len(rows),
                found=len(chosen),
                rows=chosen[first : first + PAGE_ROWS],
                newer=run_filter.address(page=run_filter.page - 1) if run_filter.page > 1 else None,
                older=run_filter.address(page=run_filter.page + 1)
                if len(chosen) > first + PAGE_ROWS
                else None,
            )
        )

    def run(self, request: Request) -> Response:
        """Return the page of one run."""
        run = self._run(request)
        scores = self.run_table.followup.of(run.run_id)
        current, uid = self._resources(), run.metadata.get("uid")
        resource = next((one for one in current.resources if one.uid == uid), None)
        return HTMLResponse(
            page(
                "run.html.j2",
                run=details(run, now_in_utc()),
                series=series_link(self.run_table.rows(), run.run_id),
                scores=scores,
                resource=resource,
                fault=current.fault,
            )
        )

    def report(self, request: Request) -> Response:
        """Return the run's report, for the frame that shows it."""
        return self._file(self._run(request), REPORT_FILE, "text/html; charset=utf-8", REPORT_POLICY)

    def file(self, request: Request) -> Response:
        """Return one of the run's files."""
        run, name = self._run(request), request.path_params["name"]
        found = next((file for file in shown_files(run.folder) if file.name == name), None)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f'the run {run.run_id} has no file "{name}"')
        return self._file(run, name, found.kind, "sandbox; default-src 'none'")

    def log(self, request: Request) -> Response:
        """Return the page with the end of a log, which the script then follows."""
        run, name = self._run(request), self._log(request)
        part = read_log(run.folder, LOGS[name], None)
        others = [log for log in LOGS if log != name]
        return HTMLResponse(
            page(
                "log.html.j2",
                run=details(run, now_in_utc()),
                log=name,
                others=others,
                part=part,
                file=LOGS[name],
            )
        )

    def log_from(self, request: Request) -> Response:
        """Return what was added to a log."""
        run, name = self._run(request), self._log(request)
        begin = _number(request.path_params["begin"])
        if begin is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "a log is read from a byte on, such as from/0")
        part = read_log(run.folder, LOGS[name], begin)
        return JSONResponse({"text": in_lines(part.text), "next": part.next, "ended": run.ended})

    def followup(self, request: Request) -> Response:
        """Return the page with the track record of the signals."""
        del request
        found = records(self.run_table.followup.rows())
        datasets: dict[str, list[TrackRecord]] = {}
        for record in found:
            datasets.setdefault(f"{record.dataset_path} {record.feed}".rstrip(), []).append(record)
        charts = {name: cumulative_ic(several) for name, several in datasets.items()}
        return HTMLResponse(page("followup.html.j2", here="followup", datasets=datasets, charts=charts))

    def compare(self, request: Request) -> Response:
        """Return the page with the comparison of the runs that the list has marked."""
        ids = self._compared(request)
        source = "/compare/page?" + urlencode([("run", run_id) for run_id in ids])
        return HTMLResponse(page("compare.html.j2", ids=ids, source=source))

    def comparison(self, request: Request) -> Response:
        """Return the comparison itself, for the frame that shows it."""
        content = self.comparer.compare(self._compared(request))
        return Response(
            content, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": REPORT_POLICY}
        )

    def _compared(self, request: Request) -> list[str]:
        """Return the ids of the runs to compare, or refuse them."""
        ids = list(dict.fromkeys(request.query_params.getlist("run")))
        if not FEWEST_COMPARED <= len(ids) <= MOST_COMPARED:
            raise HTTPException(
                HTTPStatus.BAD_REQUEST,
                f"mark {FEWEST_COMPARED} to {MOST_COMPARED} runs in the list to compare them; "
                f"{len(ids)} are marked",
            )
        unknown = next((run_id for run_id in ids if self.run_table.run(run_id) is None), None)
        if unknown is not None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f'there is no run "{unknown}" on this volume')
        return ids

    def _resources(self) -> ListedResources:
        return ListedResources() if self.listing is None else self.listing.current()

    def _run(self, request: Request) -> ListedRun:
        run_id = request.path_params["run_id"]
        run = self.run_table.run(run_id)
        if run is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f'there is no run "{run_id}" on this volume')
        return run

    @staticmethod
    def _log(request: Request) -> str:
        name = request.path_params["name"]
        if name not in LOGS:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"the logs are {' and '.join(LOGS)}")
        return str(name)

    @staticmethod
    def _file(run: ListedRun, name: str, kind: str, policy: str) -> Response:
        missing = f'the run {run.run_id} has no file "{name}"'
        return FileAnswer(run.folder, name, kind, policy, missing)


class FileAnswer(Response):
    """A file that is opened when it is sent, and closed when it is sent or the client disconnects."""

    def __init__(self, folder: Path, name: str, kind: str, policy: str, missing: str) -> None:
        self.folder = folder
        self.name = name
        self.kind = kind
        self.policy = policy
        self.missing = missing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        stream = await run_in_threadpool(open_shown, self.folder, self.name)
        if stream is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, self.missing)
        with stream:
            size = os.fstat(stream.fileno()).st_size
            headers = {"Content-Security-Policy": self.policy, "Content-Length": str(size)}
            answer = StreamingResponse(content(stream.fileno(), size), media_type=self.kind, headers=headers)
            await answer(scope, receive, send)


async def healthz(_request: Request) -> Response:
    """Return that the server answers, without waiting for a thread."""
    return PlainTextResponse("ok\n")


def static(request: Request) -> Response:
    """Return a style sheet or the script of the pages; that of a book is also within its ledger.html."""
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such file")
    if name == BOOK_STYLE:
        return Response(book_style(), media_type=STATIC[name])
    found = files("qlib_shadow_runner.ui").joinpath("static", name).read_bytes()
    return Response(found, media_type=STATIC[name])


def _number(text: str) -> int | None:
    """Return a number of an address; None where it is none, or longer than any size of a file."""
    return int(text) if NUMBER.fullmatch(text) else None


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for no other"
    has_text = error.detail != HTTPStatus(error.status_code).phrase
    sentence = error.detail if has_text else "there is no such page"
    return HTMLResponse(_not_available(request, sentence), error.status_code)


def _not_available(request: Request, sentence: str) -> str:
    """Return a page that says why, with a link to the list that the address belongs to."""
    lists = {"book": ("/books", "the books"), "runs": ("/runs", "the runs")}
    back, back_to = lists.get(request.url.path.split("/")[1], ("/", "last night"))
    return page("refused.html.j2", sentence=in_a_sentence(sentence), back=back, back_to=back_to)


def _failed(request: Request, error: Exception) -> Response:
    sentence = f"this page could not be made ({type(error).__name__}: {error}); the terminal has the details"
    return HTMLResponse(_not_available(request, sentence), HTTPStatus.INTERNAL_SERVER_ERROR)

"""The first page: last night, and what needs a person; and the page of each series of nights."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from qlib_shadow_runner.nights.books import Books
from qlib_shadow_runner.nights.morning import Morning, has_trained, weekdays_between
from qlib_shadow_runner.nights.needs import BAD, BADLY, Need, in_short, needs_of
from qlib_shadow_runner.nights.series import all_series
from qlib_shadow_runner.nights.trend import weeks_of
from qlib_shadow_runner.texts import ended, one_line
from qlib_shadow_runner.ui.books_pages import BooksView
from qlib_shadow_runner.ui.nights_chart import SPARK_HEIGHT, SPARK_WIDTH, live_chart, spark_bars
from qlib_shadow_runner.ui.pages import now_in_utc, page
from qlib_shadow_runner.ui.resources import ListedResources, join

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from starlette.requests import Request

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.nights.morning import NightsOfSeries
    from qlib_shadow_runner.ui.book_table import BookTable
    from qlib_shadow_runner.ui.resources import ResourceListing
    from qlib_shadow_runner.ui.run_table import RunTable

NEEDS_SHOWN: Final = 30
SERIES_SHOWN: Final = 50
BOOKS_SHOWN: Final = 50
RUNS_SHOWN: Final = 60
WEEKS_SHOWN: Final = 6
WORD_MAX: Final = 40
"""Characters of a status: any program may have written it."""
GOOD_DRIFT: Final = frozenset({"none"})
GOOD_DECAY: Final = frozenset({"holds"})
LATELY: Final = timedelta(days=2)
"""A resource that was refused is told of for so long; the list of runs has it until it is deleted."""
WAITING: Final = frozenset({"pending", "suspended"})


@dataclass(frozen=True)
class NightsPages:
    """The answers; each method is one address."""

    run_table: RunTable
    listing: ResourceListing | None
    book_table: BookTable

    def morning(self, request: Request) -> Response:
        """Return last night on one page: first what needs a person, then each series."""
        del request
        current = ListedResources() if self.listing is None else self.listing.current()
        morning = self._facts()
        rows = join(self.run_table.rows(), current.resources)
        waiting = sum(row["status"] in WAITING for row in rows)
        books = Books(morning.now, self.book_table.overviews(), self.book_table.fault)
        needs = [*books.needs(), *refused(rows, morning.now), *needs_of(morning)]
        awake = morning.awake
        return HTMLResponse(
            page(
                "morning.html.j2",
                here="morning",
                volume=self.run_table.volume.mount,
                now=morning.now,
                fault=current.fault,
                waiting=waiting,
                in_cluster=self.listing is not None,
                counts={word(status): count for status, count in morning.counts().items()},
                said=in_short(needs),
                needs=needs[:NEEDS_SHOWN],
                more_needs=len(needs) - NEEDS_SHOWN,
                series=awake[:SERIES_SHOWN],
                more_series=len(awake) - SERIES_SHOWN,
                resting=morning.resting[:SERIES_SHOWN],
                total=len(morning.series),
                books=books.awake[:BOOKS_SHOWN],
                more_books=len(books.every) - len(books.awake[:BOOKS_SHOWN]),
                books_view=BooksView(),
                view=View(morning.now),
            )
        )

    def series(self, request: Request) -> Response:
        """Return the page of one series: its live IC over time, its models and its runs."""
        key = request.query_params.get("of", "")
        morning = self._facts()
        nights = next((one for one in morning.series if one.series.key == key), None)
        if nights is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f'there is no series "{one_line(key, 200)}"')
        ours = Morning(morning.now, [nights], ())
        return HTMLResponse(
            page(
                "series.html.j2",
                nights=nights,
                needs=needs_of(ours),
                chart=live_chart(nights.live, trained_on(nights)),
                weeks=weeks_of(nights, WEEKS_SHOWN),
                runs=nights.runs[:RUNS_SHOWN],
                models=nights.models[:RUNS_SHOWN],
                live={run["run_id"]: day_ic(nights, run) for run in nights.runs[:RUNS_SHOWN]},
                view=View(morning.now),
            )
        )

    def _facts(self) -> Morning:
        return Morning.of(self.run_table.rows(), self.run_table.followup.outcomes(), now_in_utc())


def series_link(rows: Sequence[Row], run_id: str) -> tuple[str, str] | None:
    """Return the name and the address of the series that a run belongs to; None for a download."""
    for one in all_series(rows):
        if any(run["run_id"] == run_id for run in one.runs):
            return one.name, address_of(one.key)
    return None


def address_of(key: str) -> str:
    """Return the address of a series' page."""
    return f"/series?{urlencode({'of': key})}"


def refused(rows: Sequence[Row], now: datetime) -> list[Need]:
    """Return what is said of the resources that failed of late and have left no run folder."""
    found = [
        row
        for row in rows
        if not row["folder"] and row["status"] in BAD and now - (row["started_at"] or now) <= LATELY
    ]
    return [Need(BADLY, word(row["name"]), "", None, ended(one_line(why_of(row)))) for row in found]


def why_of(row: Row) -> str:
    """Return reason and message of a resource that failed."""
    return " · ".join(text for text in (row["reason"], row["message"]) if text) or "it failed"


def trained_on(nights: NightsOfSeries) -> list[date]:
    """Return the last day of the data of each run that trained."""
    return [run["universe_end"] for run in nights.runs if has_trained(run) and run["universe_end"]]


def day_ic(nights: NightsOfSeries, run: Row) -> float | None:
    """Return the IC of the live signals of a run's last day, where it is known."""
    return nights.live.get(run["universe_end"])


@dataclass(frozen=True)
class View:
    """What the templates of nights ask for."""

    now: datetime
    spark_width: int = SPARK_WIDTH
    spark_height: int = SPARK_HEIGHT

    def address(self, key: str) -> str:
        """Return the address of a series' page."""
        return address_of(key)

    def ago(self, moment: datetime | None) -> str:
        """Return how long ago a time is, in its largest unit."""
        if moment is None:
            return ""
        passed = max(self.now - moment, timedelta())
        hours, minutes = divmod(int(passed.total_seconds()) // 60, 60)
        if hours >= 2 * 24:
            return f"{hours // 24} days ago"
        return f"{hours} h ago" if hours else f"{minutes} min ago"

    def weekdays(self, count: int | None) -> str:
        """Return the age of data in words."""
        if count is None:
            return ""
        return "up to date" if count == 0 else f"{count} weekday{'s' * (count != 1)} old"

    def data_age(self, run: Row) -> int | None:
        """Return how old the data of a run was when it began, in weekdays."""
        if run["universe_end"] is None or run["started_at"] is None:
            return None
        return weekdays_between(run["universe_end"], run["started_at"].date())

    def model(self, run: Row | None) -> str:
        """Return whether a run kept its model or trained, and the model's age in trading days."""
        if run is None or run["model_trained_by"] is None:
            return ""
        if not run["model_kept"] and not has_trained(run):
            return f"taken over from {run['model_trained_by']}"
        if not run["model_kept"]:
            return "trained: the one before had decayed" if run["gave_up"] else "trained"
        age = run["model_age_days"]
        return "kept" if age is None else f"kept, {age} day{'s' * (age != 1)} old"

    def word(self, text: object) -> str:
        """Return a status for a badge."""
        return word(text)

    def spark(self, nights: NightsOfSeries) -> object:
        """Return the bars of the last days of live IC."""
        return spark_bars(nights.live)

    def drift_class(self, state: str | None) -> str:
        """Return the colour of a state of drift."""
        return "" if state in (None, "unknown") else "ok" if state in GOOD_DRIFT else "warn"

    def decay_class(self, state: str | None) -> str:
        """Return the colour of a state of decay."""
        return "" if state in (None, "unknown") else "ok" if state in GOOD_DECAY else "fail"


def word(text: object) -> str:
    """Return a word that any program may have written, bounded."""
    return one_line(text, WORD_MAX)

"""Series: which runs belong together, what they are called, and how far apart they usually are."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from statistics import median_low
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import LOCAL_NAMESPACE
from qlib_shadow_runner.contract.escapes import shorten
from qlib_shadow_runner.runs.listing import STATUS_DOWNLOADED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from qlib_shadow_runner.catalog.run_columns import Row

SHORT_RECIPE: Final = 8
NAME_MAX: Final = 80
"""Characters of a name: any program may have written it."""
NUMBERED: Final = re.compile(r"(?:[-.][0-9][0-9tz.-]*)+(?:-[0-9a-f]{4})?$")
"""What tells one night's manifest from another's at the end of its name: a date, a time, a number."""
RECENT: Final = 20
"""So many of the last runs say how far apart the runs of a series usually are."""
FEWEST_RUNS: Final = 5
"""With fewer runs, no distance is usual."""
REGULAR: Final = 0.75
"""The share of the distances that must be the usual one."""
NIGHT: Final = timedelta(hours=24)
GRACE: Final = timedelta(hours=2)
"""A run may begin this much later in the day than the one before."""


@dataclass(frozen=True)
class Series:
    """Runs that belong together, newest first: of one series, or else of one recipe."""

    key: str
    """It identifies the series in an address and on the command line."""
    name: str
    namespace: str
    is_named: bool
    """Whether the runs name their series."""
    runs: Sequence[Row]

    @property
    def title(self) -> str:
        """Return its name, with its namespace before it where it has one: two may have the same series."""
        return self.name if self.namespace in {"", LOCAL_NAMESPACE} else f"{self.namespace}/{self.name}"

    def is_called(self, text: str) -> bool:
        """Return whether a text is its name, or the beginning of its recipe."""
        value = self.key.rpartition("/")[2]
        return text in (self.name, value) or (not self.is_named and value.startswith(text) and text != "")

    def is_late(self, now: datetime) -> bool:
        """Return whether the next run should have begun, by the usual distance of the runs."""
        usual = self.usual_distance
        last = next((start for run in self.runs if (start := known_start(run, now))), None)
        return usual is not None and last is not None and self._distance(last, now - GRACE) >= usual

    @property
    def usual_distance(self) -> int | None:
        """Return how many days lie between two runs, without days of the week on which none begins.

        None where there are too few runs, or where they have no usual distance.
        """
        days = self._days
        distances = [self._distance_of_days(before, after) for after, before in pairwise(days)]
        if len(days) < FEWEST_RUNS:
            return None
        usual = median_low(distances)
        return usual if distances.count(usual) >= REGULAR * len(distances) else None

    @property
    def days_between(self) -> int:
        """Return how many days usually lie between two runs of the calendar, or 0."""
        days = self._days
        return median_low((after - before).days for after, before in pairwise(days)) if len(days) > 1 else 0

    @property
    def _days(self) -> list[date]:
        """Return the days on which the last runs began, the last first."""
        started = {run["started_at"].date() for run in self.runs if run["started_at"] is not None}
        return sorted(started, reverse=True)[:RECENT]

    def _distance(self, last: datetime, now: datetime) -> int:
        """Return how many times the hour of the last run has come again on days on which runs begin."""
        until = now.date() if now.time() >= last.time() else now.date() - timedelta(days=1)
        return self._distance_of_days(last.date(), until)

    def _distance_of_days(self, first: date, last: date) -> int:
        week = {day.weekday() for day in self._days}
        weeks, rest = divmod(max(0, (last - first).days), len("MTWTFSS"))
        more = sum((last - timedelta(days=back)).weekday() in week for back in range(rest))
        return weeks * len(week) + more


def all_series(rows: Iterable[Row]) -> list[Series]:
    """Return the series of these runs, which are sorted newest first; that of the newest run comes first."""
    runs = [row for row in rows if row["status"] != STATUS_DOWNLOADED]
    recipes = _recipes(runs)
    groups: defaultdict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for run in runs:
        groups[_group(run, recipes)].append(run)
    return [_series(group, found) for group, found in groups.items()]


def known_start(run: Row, now: datetime) -> datetime | None:
    """Return when a run began; None where it does not say so, or names a time that is to come."""
    start: datetime | None = run["started_at"]
    return None if start is None or start > now + NIGHT else start


def base_name(run: Row) -> str:
    """Return the name of a run's manifest without the night's date or number."""
    name = shorten(str(run["name"] or run["run_id"]), NAME_MAX)
    return NUMBERED.sub("", name) or name


def _recipes(runs: Iterable[Row]) -> dict[tuple[str, str], str]:
    """Return the newest recipe of each manifest, for runs that failed before they had one."""
    found: dict[tuple[str, str], str] = {}
    for run in runs:
        if run["recipe_sha256"] and not run["series"]:
            found.setdefault((_namespace(run), base_name(run)), run["recipe_sha256"])
    return found


def _group(run: Row, recipes: dict[tuple[str, str], str]) -> tuple[str, str, str]:
    namespace = _namespace(run)
    if run["series"]:
        return namespace, "series", run["series"]
    recipe = run["recipe_sha256"] or recipes.get((namespace, base_name(run)))
    return (namespace, "recipe", recipe) if recipe else (namespace, "name", base_name(run))


def _series(group: tuple[str, str, str], runs: Sequence[Row]) -> Series:
    namespace, kind, value = group
    name = f"{base_name(runs[0])} {value[:SHORT_RECIPE]}" if kind == "recipe" else value
    return Series("/".join(group), name, namespace, kind == "series", runs)


def _namespace(run: Row) -> str:
    return shorten(str(run["namespace"] or ""), NAME_MAX)

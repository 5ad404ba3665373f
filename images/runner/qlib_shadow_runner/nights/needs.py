"""What needs a person this morning, the most urgent first: one function for each kind of need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.nights.series import known_start
from qlib_shadow_runner.runs.listing import STATUS_DAMAGED
from qlib_shadow_runner.texts import ended, figure, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.nights.morning import Morning, NightsOfSeries

OLD_WEEKDAYS: Final = 4
"""Data that ended more weekdays ago is old: the last day's prices, and holidays, take fewer."""
BADLY: Final = "ended badly"
BAD: Final = ("failed", "not-golden", "interrupted", "damaged")
"""The statuses after which a person has to look."""
DRIFTING: Final = "drifting"
MESSAGE_MAX: Final = 300


@dataclass(frozen=True)
class Need:
    """Something that a person has to look at."""

    kind: str
    """One word or two, for a badge."""
    series: str
    series_key: str
    run_id: str | None
    """The run that shows it, if one does."""
    sentence: str


def needs_of(morning: Morning) -> list[Need]:
    """Return what needs a person, the most urgent first."""
    damaged = [
        Need(STATUS_DAMAGED, nights.series.title, nights.series.key, run["run_id"], ended(_damage(run)))
        for nights in morning.series
        for run in nights.runs
        if run["status"] == STATUS_DAMAGED and run["started_at"] is None
    ]
    return damaged + [
        Need(kind, nights.series.title, nights.series.key, run_id, ended(sentence))
        for kind, find in KINDS.items()
        for nights in morning.awake
        for run_id, sentence in find(nights)
    ]


def _damage(run: Row) -> str:
    """Return what is said of a run of which neither series nor start is known: it may be last night's."""
    why = one_line(run["message"], MESSAGE_MAX) if run["message"] else ""
    return f"the run {run['run_id']} is damaged{': ' if why else ''}{why}"


def _ended_badly(nights: NightsOfSeries) -> Iterator[tuple[str | None, str]]:
    """Yield the newest ended run, if it did not end well."""
    run = nights.last_ended
    if run is not None and run["status"] in BAD:
        why = " · ".join(one_line(text, MESSAGE_MAX) for text in (run["reason"], run["message"]) if text)
        yield run["run_id"], why or f"the run is {run['status']}"


def _late(nights: NightsOfSeries) -> Iterator[tuple[str | None, str]]:
    """Yield that a run should have begun, for runs that come at regular distances."""
    if nights.series.is_late(nights.now):
        started = next(start for run in nights.runs if (start := known_start(run, nights.now)))
        yield None, f"no run has begun since {started:%Y-%m-%d %H:%M} UTC, and one was to be expected"


def _old_data(nights: NightsOfSeries) -> Iterator[tuple[str | None, str]]:
    """Yield that the data does not go on, for runs that follow data."""
    ends = {run["universe_end"] for run in nights.runs if run["universe_end"]}
    follows = nights.series.is_named or len(ends) > 1
    age = nights.data_age
    if follows and age is not None and age > OLD_WEEKDAYS:
        yield nights.last["run_id"], f"its data ends on {nights.data_end}, {age} weekdays ago"


def _decayed(nights: NightsOfSeries) -> Iterator[tuple[str | None, str]]:
    """Yield that live signals are worse than the model's test, as the last run has judged."""
    run = nights.last_whole
    if run is not None and run["decay"] == "decayed":
        figures = ""
        live, days, promised = (run[name] for name in ("decay_live_ic", "decay_days", "promised_ic"))
        if None not in (live, days, promised):
            over = f"{days} day{'s' * (days != 1)}"
            figures = f": live IC {figure(live, 3)} on {over}, {figure(promised, 3)} on its test"
        yield run["run_id"], f"the model has decayed{figures}"


def _drifts(nights: NightsOfSeries) -> Iterator[tuple[str | None, str]]:
    """Yield that the data differ from those that the model has learnt from, as the last run has judged."""
    run = nights.last_whole
    if run is not None and run["drift"] == DRIFTING:
        yield (
            run["run_id"],
            "features, scores or turnover have moved away from what the model was trained on",
        )


def _not_kept(nights: NightsOfSeries) -> Iterator[tuple[str | None, str]]:
    """Yield why the last run trained although a model was young enough."""
    run = nights.last_whole
    if run is not None and run["model_not_kept"]:
        yield run["run_id"], one_line(run["model_not_kept"], MESSAGE_MAX)


KINDS: Final[dict[str, Callable[[NightsOfSeries], Iterator[tuple[str | None, str]]]]] = {
    BADLY: _ended_badly,
    "no run": _late,
    "old data": _old_data,
    "decayed": _decayed,
    "drift": _drifts,
    "not kept": _not_kept,
}


def in_short(needs: Sequence[object]) -> str:
    """Return how many needs there are, in words."""
    if not needs:
        return "nothing needs a person"
    return "1 thing needs a person" if len(needs) == 1 else f"{len(needs)} things need a person"

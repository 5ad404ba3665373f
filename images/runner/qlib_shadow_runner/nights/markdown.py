"""The facts as Markdown, for those who read mail: the day, and the last weeks.

Names and messages come from run folders, so whatever has a meaning in Markdown or HTML is escaped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.ledger.overview import State
from qlib_shadow_runner.nights.books import NO_BOOKS, title_of
from qlib_shadow_runner.nights.morning import has_trained
from qlib_shadow_runner.nights.needs import in_short, needs_of
from qlib_shadow_runner.nights.trend import weeks_of
from qlib_shadow_runner.texts import ABSENT, figure, is_number, one_line, percent, with_minus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.ledger.overview import Overview
    from qlib_shadow_runner.ledger.weeks import BookWeek
    from qlib_shadow_runner.nights.books import BookNeed, Books
    from qlib_shadow_runner.nights.morning import Morning, NightsOfSeries
    from qlib_shadow_runner.nights.needs import Need

CELL_MAX: Final = 120
SENTENCE_MAX: Final = 1000
SERIES_MAX: Final = 100
"""Series that a page lists; the JSON has all."""
NEEDS_MAX: Final = 100
SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|#~&!])")
HEADS: Final = ("Series", "Last run", "Status", "Data to", "Model", "Age", "IC", "Live IC", "Drift", "Decay")
WEEK_HEADS: Final = ("Week of", "Runs", "Bad", "Trained", "Live IC", "Days", "Drifting", "Turnover drift")
BOOK_HEADS: Final = (
    *("Book", "State", "Day", "NAV", "Day's P&L", "Return", "Drawdown"),
    *("Closed gates", "Late", "Missed", "Halts"),
)
BOOK_WEEK_HEADS: Final = (
    *("Week of", "Days", "Return", "Benchmark", "P&L", "Costs", "Turnover"),
    *("Decided", "Held", "Reducing", "Late", "Missed"),
)


def snapshot_page(morning: Morning, books: Books = NO_BOOKS) -> str:
    """Return the day: what needs a person, then a row for each series and each book."""
    awake = morning.awake
    needs: list[tuple[str, Need | BookNeed]] = [
        *((one.book, one) for one in books.needs()),
        *((one.series, one) for one in needs_of(morning)),
    ]
    lines = [f"# Nights to {morning.now:%Y-%m-%d %H:%M} UTC", "", f"**{in_short(needs).capitalize()}.**", ""]
    lines += [
        f"- **{words(name)}**, {one.kind}{_of_run(one.run_id)}: "
        f"{words(one.sentence, SENTENCE_MAX)}{_command(one)}"
        for name, one in needs[:NEEDS_MAX]
    ]
    lines += [f"- and {len(needs) - NEEDS_MAX} more"] * (len(needs) > NEEDS_MAX) + [""] * bool(needs)
    counts = ", ".join(f"{count} {words(status)}" for status, count in morning.counts().items())
    lines += [f"In the last 24 hours: {counts or 'no runs'}.", ""]
    if not morning.series:
        lines += ["There are no runs yet."]
    if awake:
        lines += _table(HEADS, map(_series_row, awake[:SERIES_MAX]))
    if len(awake) > SERIES_MAX:
        lines += ["", f"And {len(awake) - SERIES_MAX} more."]
    if morning.resting:
        lines += ["", f"Without a run for long: {len(morning.resting)}."]
    if books.awake:
        lines += ["", "## Books", ""]
        lines += _table(BOOK_HEADS, map(_book_row, books.awake[:SERIES_MAX]))
    if len(books.awake) > SERIES_MAX:
        lines += ["", f"And {len(books.awake) - SERIES_MAX} more."]
    if books.resting:
        lines += ["", f"Books without a decision for long: {len(books.resting)}."]
    return "\n".join(lines) + "\n"


def trend_page(series: Sequence[NightsOfSeries], weeks: int, books: Books = NO_BOOKS) -> str:
    """Return the last weeks of each series, and of each book, as a table."""
    lines = [f"# The last {weeks} weeks" if weeks > 1 else "# This week"]
    for one in series[:SERIES_MAX]:
        lines += ["", f"## {words(one.series.title)}", ""]
        lines += _table(WEEK_HEADS, (_week_row(week) for week in map(vars, weeks_of(one, weeks))))
    if len(series) > SERIES_MAX:
        lines += ["", f"And {len(series) - SERIES_MAX} more series."]
    if not series:
        lines += ["", "There are no runs in this time."]
    known = books.weeks(weeks)
    for book, of_book in known[:SERIES_MAX]:
        lines += ["", f"## Book {words(title_of(book))}", ""]
        lines += _table(BOOK_WEEK_HEADS, map(_book_week_row, of_book))
    if len(known) > SERIES_MAX:
        lines += ["", f"And {len(known) - SERIES_MAX} more books."]
    before = books.before(weeks)
    for book, last in before[:SERIES_MAX]:
        lines += ["", f"Book {words(title_of(book))} has no day in these weeks; its last is {last}."]
    if len(before) > SERIES_MAX:
        lines += ["", f"And {len(before) - SERIES_MAX} more books without a day in these weeks."]
    return "\n".join(lines) + "\n"


def words(text: object, most: int = CELL_MAX) -> str:
    """Return a text in one line, cut, with what Markdown or HTML would read as more than text escaped."""
    return SPECIAL.sub(r"\\\1", one_line(text, most)).replace("\\<", "&lt;").replace("\\&", "&amp;")


def _command(need: Need | BookNeed) -> str:
    """Return what does away with a need of a book: a name of a book needs no escape."""
    command = getattr(need, "command", "")
    return f" `{command}` lifts it." if command else ""


def _of_run(run_id: str | None) -> str:
    return f" ({words(run_id)})" if run_id else ""


def _series_row(nights: NightsOfSeries) -> Sequence[str]:
    run, model, whole = nights.last, nights.model, nights.last_whole
    return (
        words(nights.series.title),
        words(run["run_id"]),
        words(run["status"]),
        _text(nights.data_end),
        _text(model.trained_through if model else None),
        _age(whole),
        figure(whole["ic"] if whole else None, 3),
        figure(nights.live_ic, 3),
        _text(whole["drift"] if whole else None),
        _text(whole["decay"] if whole else None),
    )


def _age(run: Row | None) -> str:
    if run is None or run["model_age_days"] is None:
        return ABSENT
    how = "kept" if run["model_kept"] else "trained" if has_trained(run) else "taken over"
    return f"{run['model_age_days']} d, {how}"


def _week_row(week: dict[str, object]) -> Sequence[str]:
    names = ("monday", "runs", "failures", "trained")
    return (
        *(str(week[name]) for name in names),
        figure(week["live_ic"], 3),
        str(week["days_judged"]),
        str(week["drifting"]),
        figure(week["turnover_drift"], 2),
    )


def _book_row(one: Overview) -> Sequence[str]:
    if one.is_damaged:
        return (words(one.book), str(one.state), *[ABSENT] * (len(BOOK_HEADS) - 2))
    earned = one.nav / one.capital - 1 if one.nav is not None and one.capital else None
    return (
        words(title_of(one)),
        f"{one.state}{', late' if one.late and one.state is not State.LATE else ''}",
        _text(one.decided),
        _money(one.nav),
        _money(one.pnl),
        percent(earned, 2),
        percent(one.drawdown),
        words(", ".join(gate.name for gate in one.closed)) or "none",
        *(str(len(days)) for days in (one.late_days, one.missed_days)),
        str(len(one.halts) + (one.halt is not None)),
    )


def _book_week_row(week: BookWeek) -> Sequence[str]:
    return (
        *(f"{week.monday}", str(week.days), percent(week.total, 2), percent(week.benchmark, 2)),
        *(_money(week.pnl), _money(week.costs), percent(week.turnover)),
        *map(str, (week.decided, week.held, week.reducing, week.late, week.missed)),
    )


def _money(value: object) -> str:
    return with_minus(f"{value:,.0f}") if is_number(value) else ABSENT


def _text(value: object) -> str:
    return ABSENT if value is None else words(value)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]

"""Write the page of a book: one file that needs no network, and the same as a part of the web pages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
from markupsafe import Markup

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.escapes import in_lines
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.overview import Overview, State, overview_and_chain
from qlib_shadow_runner.report.book.charts import BookChart, charts_of
from qlib_shadow_runner.report.book.contents import (
    NIGHTS,
    NOTES,
    SENTENCE,
    Contents,
    contents_of,
    in_words,
    moment,
    word,
)
from qlib_shadow_runner.report.formats import FILTERS
from qlib_shadow_runner.report.templating import environment_of
from qlib_shadow_runner.storage.files import write_atomically
from qlib_shadow_runner.storage.untrusted import why_unreadable
from qlib_shadow_runner.texts import ABSENT, ended, is_number, one_line, percent, with_minus

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from qlib_shadow_runner.ledger.chain import Chain
    from qlib_shadow_runner.ledger.overview import Gate

LEDGER_PAGE: Final = "ledger.html"
TONES: Final = {
    State.DECIDED: "ok",
    State.NEW: "",
    State.HELD: "fail",
    State.HALTED: "fail",
    State.DAMAGED: "fail",
    State.REDUCING: "warn",
    State.LATE: "warn",
}
LIGHTS: Final = {
    "closed": ("■", "closed", "fail"),
    "reduce": ("▲", "only sales", "warn"),
    "unknown": ("◇", "not known", "unknown"),
    "open": ("●", "open", "ok"),
}
"""A gate's sign, word and colour; those that are closed come first."""
MISFITS: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What Python raises where an entry has another form than it should."""
HALTS: Final = 20
SHARES: Final = ("coverage", "drawdown", "dailyLoss", "turnover", "weight", "gross", "participation")
"""The gates whose figures are shares."""
FIGURE: Final = 24
"""Characters of a figure that is a word."""
DAYS: Final = 30
"""The late or missed days that are listed."""


@dataclass(frozen=True)
class Light:
    """A gate as a traffic light."""

    sign: str
    word: str
    tone: str
    name: str
    sentence: str
    figure: str
    limit: str


@dataclass(frozen=True)
class BookView:
    """A book with everything that its page shows."""

    overview: Overview
    contents: Contents
    charts: Sequence[BookChart] = ()

    @property
    def tone(self) -> str:
        """Return the colour of the state."""
        return tone_of(self.overview)

    @property
    def said(self) -> str:
        """Return the state in one sentence."""
        about = self.overview
        day = f"{word(about.decided)}: " if about.decided and not about.halt else ""
        return ended(f"{day}{one_line(about.sentence, SENTENCE * 2)}")

    @property
    def halt(self) -> Mapping[str, str] | None:
        """Return the kill switch that is on."""
        return _halt(self.overview.halt) if self.overview.halt else None

    @property
    def lights(self) -> list[Light]:
        """Return the gates, the closed ones first."""
        order = list(LIGHTS)
        found = [
            Light(*LIGHTS.get(gate.verdict, LIGHTS["unknown"]), *_texts(gate)) for gate in self.overview.gates
        ]
        words = [LIGHTS[name][1] for name in order]
        return sorted(found, key=lambda light: words.index(light.word))

    @property
    def band(self) -> str:
        """Return where the sum of the returns lies: above or below the promise's band, or as it stands."""
        promise = self.overview.record.promise
        if not promise or not self.overview.record.is_beyond:
            return self.overview.record.stands
        return "above" if promise[-1].account > promise[-1].high else "below"

    @property
    def late_days(self) -> str:
        """Return the last late days, as a text."""
        return _days(self.overview.late_days)

    @property
    def missed_days(self) -> str:
        """Return the last missed days, as a text."""
        return _days(self.overview.missed_days)

    @property
    def halts(self) -> list[Mapping[str, str]]:
        """Return the kill switches that were lifted, the last first."""
        return [_halt(one) for one in self.overview.halts[:HALTS]]


def tone_of(about: Overview) -> str:
    """Return the colour of a book's state; a halt that was lifted since is none to be red about."""
    return "warn" if about.is_lifted else TONES[about.state]


def book_view(folder: Path, chain: Chain | None = None) -> BookView:
    """Return what is to be shown of the book in a folder; of a damaged one, what is wrong with it.

    The chain is that of the folder, where the caller has read it already.
    """
    about, chain = overview_and_chain(folder, chain)
    if chain is None:
        return BookView(about, Contents())
    try:
        contents = contents_of(about, _documents(chain), chain.book["rules"])
        return BookView(about, contents, charts_of(about, contents))
    except StageError as error:  # a file was changed after it was read
        return BookView(Overview(folder.name, State.DAMAGED, error.message), Contents())
    except MISFITS as error:
        what = f"an entry has not the form of one ({type(error).__name__}: {one_line(error)})"
        return BookView(Overview(folder.name, State.DAMAGED, what), Contents())


def book_body(view: BookView, runs: Collection[str] = ()) -> Markup:
    """Return the content of the page, for a page with a style of its own, which can link to these runs."""
    text = _environment().get_template("book_body.html.j2").render(view=view, runs=runs)
    return Markup(in_lines(text))  # noqa: S704 - escaped there


def book_page(view: BookView) -> str:
    """Return the whole page."""
    return in_lines(_environment().get_template("book.html.j2").render(view=view, runs=()))


def book_style() -> str:
    """Return the style of the content."""
    return _template_file("book.css")


def refresh_page(folder: Path, chain: Chain | None = None) -> str | None:
    """Make the page after an entry; return why that was not possible, where it was not.

    The entry is what counts, so only an attempt that was superseded ends here.
    """
    try:
        write_atomically(folder / LEDGER_PAGE, book_page(book_view(folder, chain)).encode())
    except StageError as error:
        if error.reason is Reason.SUPERSEDED:
            raise
        why = error.message
    except OSError as error:
        why = why_unreadable(error, folder)
    except (*MISFITS, jinja2.TemplateError) as error:
        why = f"an entry has not the form of one ({type(error).__name__}: {one_line(error)})"
    else:
        return None
    return f"{LEDGER_PAGE} of the book was not made again: {why}"


def _documents(chain: Chain) -> list[Mapping[str, Any]]:
    """Return what the page is made from: the last entries whole, those before without their long parts."""
    whole = {one.sha256 for one in (*chain.decisions[-1:], *chain.fills[-1:])}
    listed = {one.sha256 for one in chain.decisions[-NIGHTS:]}
    found: list[Mapping[str, Any]] = []
    for one in chain.entries:
        if one.sha256 in whole:
            found.append(one.document)
        elif one.sha256 in listed:
            found.append({**one.brief, "orders": one.document["orders"]})
        else:
            found.append(one.brief)
    return found


def _halt(one: Mapping[str, Any]) -> Mapping[str, str]:
    return {
        "state": word(one.get("state") or ABSENT),
        "why": one_line(one.get("why") or "no reason is given", SENTENCE),
        "at": moment(one.get("at") or "an unknown time"),
        "resumedAt": moment(one.get("resumedAt") or ABSENT),
        "resumedWhy": one_line(one.get("resumedWhy") or ABSENT, SENTENCE),
    }


def _texts(gate: Gate) -> tuple[str, str, str, str]:
    figure, limit = (_figure(value, is_share=gate.name in SHARES) for value in (gate.figure, gate.limit))
    return in_words(gate.name), one_line(gate.sentence, SENTENCE), figure, limit


def _figure(value: object, *, is_share: bool) -> str:
    """Return a gate's figure or limit: a share in percent, another number of few digits, or a word."""
    if is_number(value) and not isinstance(value, bool):
        return percent(value, 2) if is_share else with_minus(f"{value:.4g}")
    return ABSENT if value is None else one_line(value, FIGURE)


def _days(days: Sequence[str]) -> str:
    shown = ", ".join(map(word, days[-DAYS:]))
    return shown if len(days) <= DAYS else f"{len(days):,}, the last {shown}"


def money(value: object) -> str:
    """Return an amount of money, without decimals where it is large."""
    if not is_number(value):
        return ABSENT
    return with_minus(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}")  # noqa: PLR2004


def gain(value: object) -> str:
    """Return an amount of money with its sign."""
    if not is_number(value):
        return ABSENT
    return ("+" if value > 0 else "") + money(value)


def count(value: object) -> str:
    """Return a number without decimals, or with few where it has some."""
    return ABSENT if not is_number(value) else with_minus(f"{value:,.6g}")


def _template_file(name: str) -> str:
    return (Path(__file__).parents[1] / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = environment_of("report/templates")
    environment.filters.update({**FILTERS, "money": money, "gain": gain, "count_of": count})
    environment.globals.update(
        style=Markup(_template_file("style.css") + book_style()),  # noqa: S704 - ours
        notes_most=NOTES,
    )
    return environment

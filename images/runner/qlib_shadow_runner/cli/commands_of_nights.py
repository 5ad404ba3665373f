"""The commands that tell of nights: the models, the day, the last weeks, and the books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.command import Command
from qlib_shadow_runner.cli.options import DATA, JSON, OUT, SERIES, option

if TYPE_CHECKING:
    from collections.abc import Mapping

LEDGER_ACTIONS: Final = (
    *("show", "orders", "positions", "nav", "diff", "trend"),
    *("verify", "halt", "resume"),
)

OF_NIGHTS: Final[Mapping[str, Command]] = {
    "models": Command(
        "cli.models_table:print_models",
        "list the models: who trained each, who used it, and how its live signals did",
        (
            DATA,
            option("--recipe", metavar="HASH", help="only models of the recipe that begins with HASH"),
            JSON,
        ),
        "The IC is what the run that trained has measured on its test; the live IC is of signals since.",
    ),
    "snapshot": Command(
        "cli.snapshot_and_trend:print_snapshot",
        "say how last night went: what needs a person, then each series",
        (DATA, SERIES, OUT, JSON),
        "Markdown, for a mail or a chat. A series is the spec's, or else all runs of one recipe.",
    ),
    "trend": Command(
        "cli.snapshot_and_trend:print_trend",
        "say how the last weeks went: runs, failures, trainings and live IC of each series",
        (
            DATA,
            SERIES,
            option("--weeks", metavar="N", default="4", help="1 to 52 (default: %(default)s)"),
            OUT,
            JSON,
        ),
        "Markdown, for a mail or a chat. A week begins on Monday, in UTC; this one is the first.",
    ),
    "ledger": Command(
        "cli.ledger_command:use_ledger",
        "read, check, halt and resume the paper accounts of the shadow ledger",
        (
            option("action", choices=LEDGER_ACTIONS),
            option("book", nargs="?", metavar="BOOK", help="its name (default: the only book)"),
            option("run", nargs="?", metavar="RUN", help="with diff: the run whose backtest is compared"),
            option("--day", metavar="DAY", help="with orders and positions (default: the last)"),
            option("--weeks", metavar="N", help="with trend: how many (default: 4)"),
            option("--head", metavar="SHA", help="with verify: the head that the run's status or Event has"),
            option("--why", metavar="TEXT", help="with halt and resume: the reason, which the book keeps"),
            option("--reducing", action="store_true", help="with halt: sales are still recorded"),
            option("--reset-drawdown", action="store_true", help="with resume: drawdown counts from here"),
            option("--portfolio", action="store_true", help="with show: the capital that books share"),
            DATA,
            JSON,
        ),
        """\
show       how a book is doing; without BOOK, all books
orders     the orders of a day, and what they came to
positions  what was held at the end of a day
nav        the account's value, day by day
diff       why the account and the backtest of the run with the newest data differ
trend      the last weeks of the book
verify     recompute the book from its files and from prices; exit code 15 where it does not hold
halt       record no orders any more, from now on
resume     lift the halt; with --reset-drawdown, drawdown counts from here

Nothing is ever traded: orders and fills are records. docs/books.md says more, and how to ask in SQL.""",
    ),
}

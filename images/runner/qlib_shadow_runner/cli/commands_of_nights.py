"""The commands that tell of nights: the models, the day, and the last weeks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.command import Command
from qlib_shadow_runner.cli.options import DATA, JSON, OUT, SERIES, option

if TYPE_CHECKING:
    from collections.abc import Mapping

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
}

"""The tree of everything that may be typed: the families of commands put together, in the order of the help.

The completion scripts and docs/commands.md are made from this tree.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.words import looking, research, upkeep
from qlib_shadow_runner.cli.words.shared import Parser

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_runner.cli.words.shared import Commands

PROGRAM: Final = "qlib-shadow"
EXIT_CODES: Final = {
    0: "done",
    1: "a check failed, or a defect of qlib-shadow",
    2: "wrong usage",
    10: "the manifest, or what was typed, must be corrected",
    11: "the data is missing, broken, too old or too short",
    12: "something tried to trade or to reach the network",
    13: "may pass: network, lock, busy volume; try again",
    14: "the volume is full",
    130: "interrupted by hand (Ctrl-C)",
    137: "out of memory",
    143: "told to stop (SIGTERM)",
}
"""What the process ends with; a stage and a whole run end with the same codes."""
COMMANDS: Final[tuple[Callable[[Commands[Parser]], None], ...]] = (
    research.add_run,
    research.add_download,
    research.add_validate,
    research.add_render,
    looking.add_verify,
    looking.add_runs,
    looking.add_show,
    looking.add_report,
    looking.add_compare,
    upkeep.add_prune,
    upkeep.add_cache,
    looking.add_query,
    looking.add_followup,
    looking.add_ui,
    upkeep.add_doctor,
    research.add_stage,
    upkeep.add_completion,
)


def build_parser() -> Parser:
    """Give the whole tree."""
    codes = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
    parser = Parser(
        prog=PROGRAM,
        description="Reproducible Qlib research that never trades.",
        epilog=f"exit codes:\n{codes}",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command", title="commands")
    for add in COMMANDS:
        add(commands)
    return parser


class _Version(argparse.Action):
    """Look the version up only when asked: it costs a tenth of a second."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415

        sys.stdout.write(f"{PROGRAM} {version('qlib-shadow-operator')}\n")
        parser.exit()

"""The argument parser: one subparser for each row of the table of commands.

The completion scripts and docs/commands.md are made from it.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Final, NoReturn

from qlib_shadow_runner.cli.commands import COMMANDS
from qlib_shadow_runner.cli.exit_codes import EXIT_CODES
from qlib_shadow_runner.contract.escapes import in_a_sentence
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.texts import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qlib_shadow_runner.cli.command import Command

PROGRAM: Final = "qlib-shadow"


class UsageError(Exception):
    """The arguments are not those of a command."""

    def __init__(self, parser: argparse.ArgumentParser, message: str) -> None:
        super().__init__(message)
        self.usage = parser.format_usage()
        self.message = in_a_sentence(message)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps each option on one line with its help, on a terminal of usual width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)
        self._action_max_length = 14  # argparse forgets that the names of commands are indented


class Parser(argparse.ArgumentParser):
    """Accepts options by their full names only, and raises instead of ending the process."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_HelpFormatter, **options)  # type: ignore[arg-type]
        self._reads_in_parts = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Take options and words in any order.

        By itself, argparse gives a word that may be left out no value once an option stands before it.
        """
        if self._reads_in_parts or not any(action.nargs == "?" for action in self._get_positional_actions()):
            return super().parse_known_args(args, namespace)
        self._reads_in_parts = True  # argparse calls this method again: for the options, then for the words
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._reads_in_parts = False

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong; suggest the nearest known word instead of listing all of them."""
        found = re.search(r"invalid choice: '([^']*)'|unrecognized arguments: (\S+)", message)
        close = nearest(found[1] or found[2] or "", self._known_words()) if found else None
        if close:
            message = re.sub(r" \(choose from [^)]*\)", "", message) + f'; did you mean "{close}"?'
        raise UsageError(self, message)

    def _known_words(self) -> set[str]:
        words = set(all_options(self))
        for name, command in subcommands(self).items():
            words |= {name, *all_options(command)}
        return words | {str(choice) for action in self._actions for choice in action.choices or ()}


Subparsers = argparse._SubParsersAction  # noqa: SLF001 - argparse gives its type no other name


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the commands of a parser by name."""
    found = (action.choices for action in parser._actions if isinstance(action, Subparsers))  # noqa: SLF001
    return next((dict(choices) for choices in found), {})


def all_options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the options of one parser by their long names."""
    actions = parser._actions  # noqa: SLF001 - there is no public way to ask
    return {name: action for action in actions for name in action.option_strings if name.startswith("--")}


def build_parser() -> Parser:
    """Return the parser of all commands."""
    codes = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
    parser = Parser(
        prog=PROGRAM,
        description="Reproducible Qlib research that never trades.",
        epilog=f"exit codes:\n{codes}",
    )
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        dest=argparse.SUPPRESS,
        default=argparse.SUPPRESS,
        help="print the version and exit",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command", title="commands")
    for name, command in COMMANDS.items():
        _add_command(commands, name, command)
    return parser


def _add_command(commands: Subparsers[Parser], name: str, command: Command) -> None:
    sentence = f"{command.summary[0].upper()}{command.summary[1:]}."
    description = "\n\n".join(filter(None, (sentence, command.details)))
    subparser = commands.add_parser(name, help=command.summary, description=description)
    for add_option in command.options:
        add_option(subparser)


class _Version(argparse.Action):
    """Reads the version only when it is asked for, because that takes a tenth of a second."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415

        print_line(f"{PROGRAM} {version('qlib-shadow-operator')}")
        parser.exit()

"""What all commands share: how options are taken, what a slip is answered with, and the options of many."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Final, NoReturn

from qlib_shadow_runner.contract import ENV_DATA
from qlib_shadow_runner.texts import nearest

DEFAULT_DATA: Final = "data"


class UsageError(Exception):
    """What was typed is no command."""

    def __init__(self, parser: argparse.ArgumentParser, message: str) -> None:
        super().__init__(message)
        self.usage = parser.format_usage()
        self.message = message


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps each option on one line with its help, on a terminal of usual width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)
        self._action_max_length = 14  # argparse forgets that the names of commands are indented


class Parser(argparse.ArgumentParser):
    """Takes options by their whole names only, and leaves the end of the process to the caller."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and the nearest word that would be right instead of all of them."""
        found = re.search(r"invalid choice: '([^']*)'|unrecognized arguments: (\S+)", message)
        close = nearest(found[1] or found[2], self._words()) if found else None
        if close:
            message = re.sub(r" \(choose from [^)]*\)", "", message) + f'; did you mean "{close}"?'
        raise UsageError(self, message)

    def _words(self) -> set[str]:
        words = set(all_options(self))
        for name, command in subcommands(self).items():
            words |= {name, *all_options(command)}
        return words | {str(choice) for action in self._actions for choice in action.choices or ()}


Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse gives its type no other name


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Give the commands below a parser, by name."""
    found = (action.choices for action in parser._actions if isinstance(action, Commands))  # noqa: SLF001
    return next((dict(choices) for choices in found), {})


def all_options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Give the options of one parser, by their long names."""
    actions = parser._actions  # noqa: SLF001 - there is no public way to ask
    return {name: action for action in actions for name in action.option_strings if name.startswith("--")}


def data_folder(given: Path | None) -> Path:
    """Take the volume from the command line, else from the environment, else from here."""
    return given or Path(os.environ.get(ENV_DATA) or DEFAULT_DATA)


def add_command(commands: Commands[Parser], name: str, summary: str, more: str = "") -> Parser:
    """Add one command."""
    description = f"{summary[0].upper()}{summary[1:]}."
    return commands.add_parser(
        name, help=summary, description=f"{description}\n\n{more}" if more else description
    )


def add_file(parser: Parser) -> None:
    """Take the manifest."""
    parser.add_argument(
        "file", type=_manifest, metavar="FILE", help="the manifest that kubectl would apply, or - for stdin"
    )


def _manifest(name: str) -> Path:
    return Path("/dev/stdin" if name == "-" else name)


def add_name(parser: Parser) -> None:
    """Take the one run that is meant."""
    parser.add_argument("run", metavar="RUN", help="its id, the beginning of its id, or its folder")


def add_template(parser: Parser) -> None:
    """Take the text that a ConfigMap would hold."""
    parser.add_argument(
        "--template",
        type=Path,
        default=None,
        metavar="FILE",
        help="the text of spec.workflow.configMapRef (default: that of the ConfigMap in the manifest's file)",
    )


def add_data(parser: Parser, what: str = "the folder that stands for /data") -> None:
    """Take the volume."""
    parser.add_argument(
        "--data",
        type=Path,
        default=None,
        metavar="FOLDER",
        help=f"{what} (default: {ENV_DATA}, else ./{DEFAULT_DATA})",
    )


def add_json(parser: argparse._ActionsContainer) -> None:
    """Let the answer be JSON."""
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON and nothing else; failures as {reason, message, exitCode}",
    )


def add_output(parser: Parser, default: str) -> None:
    """Take the file that a page goes to."""
    parser.add_argument(
        "--output", type=Path, default=None, metavar="FILE", help=f"where the page goes (default: {default})"
    )

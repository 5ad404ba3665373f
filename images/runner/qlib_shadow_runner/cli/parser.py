"""What may be typed: the commands, their options and their help; knows nothing of what they do.

The completion scripts and docs/commands.md are made from this tree.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from qlib_shadow_runner.contract import ENV_DATA, Metrics, Stage
from qlib_shadow_runner.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM: Final = "qlib-shadow"
SHELLS: Final = ("bash", "zsh", "fish")
CACHE_ACTIONS: Final = ("ls", "clear")
DEFAULT_DATA: Final = "data"
SORTS: Final = ("started", "size", *Metrics.__annotations__)
"""What runs are listed by."""
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


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Give the commands below a parser, by name."""
    found = (action.choices for action in parser._actions if isinstance(action, Commands))  # noqa: SLF001
    return next((dict(choices) for choices in found), {})


def all_options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Give the options of one parser, by their long names."""
    actions = parser._actions  # noqa: SLF001 - there is no public way to ask
    return {name: action for action in actions for name in action.option_strings if name.startswith("--")}


def _add_run(commands: Commands[Parser]) -> None:
    run = _command(commands, "run", "run a QlibShadowRun here, without a cluster", _RUN)
    _add_file(run)
    _add_template(run)
    _add_data(run)
    _add_json(run)


def _add_download(commands: Commands[Parser]) -> None:
    summary = "make or verify the dataset of a QlibShadowRun, no more"
    download = _command(commands, "download", summary, _DOWNLOAD)
    _add_file(download)
    _add_data(download)
    _add_json(download)


def _add_validate(commands: Commands[Parser]) -> None:
    summary = "check a QlibShadowRun without running it"
    validate = _command(commands, "validate", summary, _VALIDATE)
    _add_file(validate)
    _add_template(validate)
    _add_json(validate)


def _add_render(commands: Commands[Parser]) -> None:
    render = _command(commands, "render", "print the workflow that qrun would be given", _RENDER)
    _add_file(render)
    _add_template(render)
    _add_data(render)
    _add_json(render)


def _add_verify(commands: Commands[Parser]) -> None:
    verify = _command(commands, "verify", "check every promise about a run", _VERIFY)
    _add_name(verify)
    _add_data(verify, "the volume: where RUN is looked for, and where its dataset is if its folder was moved")
    _add_json(verify)


def _add_runs(commands: Commands[Parser]) -> None:
    runs = _command(commands, "runs", "list the runs, newest first")
    _add_data(runs)
    runs.add_argument(
        "--sort",
        choices=SORTS,
        metavar="FIGURE",
        default=SORTS[0],
        help="the best first, by ic, rankIc, informationRatio or another figure of metrics.json, or by size",
    )
    _add_json(runs)


def _add_show(commands: Commands[Parser]) -> None:
    show = _command(commands, "show", "show one run: metadata, metrics, files and logs")
    _add_name(show)
    _add_data(show)
    _add_json(show)


def _add_report(commands: Commands[Parser]) -> None:
    report = _command(commands, "report", "make a run's report.html again", _REPORT)
    _add_name(report)
    _add_data(report, "the volume: where RUN is looked for, and where its dataset is if its folder was moved")
    _add_output(report, "report.html in the run folder")
    report.add_argument(
        "--png", type=Path, default=None, metavar="FOLDER", help="write each chart as a PNG into FOLDER too"
    )
    _add_json(report)


def _add_compare(commands: Commands[Parser]) -> None:
    compare = _command(commands, "compare", "put runs side by side: figures, curves, differences", _COMPARE)
    compare.add_argument("runs", nargs="+", metavar="RUN", help="ids, beginnings of ids, or folders")
    _add_data(compare)
    _add_output(compare, "./compare.html")
    _add_json(compare)


def _add_output(parser: Parser, default: str) -> None:
    parser.add_argument(
        "--output", type=Path, default=None, metavar="FILE", help=f"where the page goes (default: {default})"
    )


def _add_prune(commands: Commands[Parser]) -> None:
    prune = _command(commands, "prune", "remove old run folders and unused dataset versions", _PRUNE)
    _add_data(prune)
    prune.add_argument(
        "--keep", metavar="N", help="never remove the N newest runs; alone, remove all the others"
    )
    prune.add_argument("--older-than", metavar="DAYS", help="remove runs that began more than DAYS ago")
    prune.add_argument("--max-size", metavar="SIZE", help="remove the oldest runs until all fit, such as 10G")
    only = prune.add_mutually_exclusive_group()
    only.add_argument("--datasets", action="store_true", help="only dataset versions")
    only.add_argument("--run-folders", action="store_true", help="only run folders")
    prune.add_argument("--dry-run", action="store_true", help="print the same and remove nothing")
    _add_json(prune)


def _add_cache(commands: Commands[Parser]) -> None:
    cache = _command(commands, "cache", "list or remove the features that are kept for other runs", _CACHE)
    cache.add_argument("action", choices=CACHE_ACTIONS)
    _add_data(cache)
    cache.add_argument(
        "--max-size", metavar="SIZE", help="with clear: keep the last used that fit, such as 10G"
    )
    _add_json(cache)


def _add_query(commands: Commands[Parser]) -> None:
    query = _command(commands, "query", "ask about all runs and their signals in SQL", _QUERY)
    query.add_argument("sql", metavar="SQL", help="one SELECT, or - for stdin")
    _add_data(query)
    form = query.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV")
    _add_json(form)


def _add_followup(commands: Commands[Parser]) -> None:
    summary = "look up what became of past signals, now that newer data is there"
    followup = _command(commands, "followup", summary, _FOLLOWUP)
    _add_data(followup)
    _add_json(followup)


def _add_ui(commands: Commands[Parser]) -> None:
    ui = _command(commands, "ui", "show the runs as web pages that change nothing", _UI)
    _add_data(ui)
    ui.add_argument(
        "--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen (default: %(default)s)"
    )
    ui.add_argument(
        "--port", metavar="N", default="8321", help="which port, or 0 for a free one (default: %(default)s)"
    )
    ui.add_argument(
        "--token-file",
        type=Path,
        default=None,
        metavar="FILE",
        help="ask everybody for the token in FILE (default: QLIB_SHADOW_UI_TOKEN)",
    )
    _add_json(ui)


def _add_doctor(commands: Commands[Parser]) -> None:
    doctor = _command(commands, "doctor", "check whether runs can be done here")
    _add_data(doctor)
    _add_json(doctor)


def _add_stage(commands: Commands[Parser]) -> None:
    stage = _command(
        commands, "stage", "do one stage, as a Job does; told what to do by the environment", _STAGE
    )
    stage.add_argument("stage", choices=[str(stage) for stage in Stage])
    stage.add_argument(
        "--report",
        action="store_true",
        help="do nothing; tell again how the stage ended, from the run folder",
    )


def _add_completion(commands: Commands[Parser]) -> None:
    summary = "print a script that lets a shell complete what is typed"
    completion = _command(commands, "completion", summary, _COMPLETION)
    completion.add_argument("shell", choices=SHELLS)


COMMANDS: Final[tuple[Callable[[Commands[Parser]], None], ...]] = (
    _add_run,
    _add_download,
    _add_validate,
    _add_render,
    _add_verify,
    _add_runs,
    _add_show,
    _add_report,
    _add_compare,
    _add_prune,
    _add_cache,
    _add_query,
    _add_followup,
    _add_ui,
    _add_doctor,
    _add_stage,
    _add_completion,
)


def _command(commands: Commands[Parser], name: str, summary: str, more: str = "") -> Parser:
    description = f"{summary[0].upper()}{summary[1:]}."
    return commands.add_parser(
        name, help=summary, description=f"{description}\n\n{more}" if more else description
    )


def _add_file(parser: Parser) -> None:
    parser.add_argument(
        "file", type=_manifest, metavar="FILE", help="the manifest that kubectl would apply, or - for stdin"
    )


def _manifest(name: str) -> Path:
    return Path("/dev/stdin" if name == "-" else name)


def _add_name(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help="its id, the beginning of its id, or its folder")


def _add_template(parser: Parser) -> None:
    parser.add_argument(
        "--template",
        type=Path,
        default=None,
        metavar="FILE",
        help="the text of spec.workflow.configMapRef (default: that of the ConfigMap in the manifest's file)",
    )


def _add_data(parser: Parser, what: str = "the folder that stands for /data") -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=None,
        metavar="FOLDER",
        help=f"{what} (default: {ENV_DATA}, else ./{DEFAULT_DATA})",
    )


def data_folder(given: Path | None) -> Path:
    """Take the volume from the command line, else from the environment, else from here."""
    return given or Path(os.environ.get(ENV_DATA) or DEFAULT_DATA)


def _add_json(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON and nothing else; failures as {reason, message, exitCode}",
    )


class _Version(argparse.Action):
    """Look the version up only when asked: it costs a tenth of a second."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415

        sys.stdout.write(f"{PROGRAM} {version('qlib-shadow-operator')}\n")
        parser.exit()


_RUN: Final = """\
A spec with a runId names its folder. The same manifest may be run again under the same runId: it goes on
where it was interrupted. A changed one needs another runId."""
_DOWNLOAD: Final = """\
The log is kept in a run folder of its own; the spec's runId stays free for the run."""
_VALIDATE: Final = """\
Names every fault that can be found without the data, with the nearest word that would be right."""
_RENDER: Final = """\
Needs a dataset that is there and verified: see qlib-shadow download."""
_VERIFY: Final = """\
Recomputes hashes and figures from what the run left. Reads the recorder's pickles: verify only runs that
you trust."""
_REPORT: Final = """\
A run makes its report itself. This makes it again, with the whole of the golden run's checklist, for a run
that is older than reports or has lost its own."""
_COMPARE: Final = """\
Two runs or more. The table is printed; the page holds the curves too."""
_PRUNE: Final = """\
Runs that have not ended, the dataset versions they use, the versions that a name points at, and whatever
qlib-shadow did not make are never removed."""
_QUERY: Final = """\
The views are runs, signals, metrics, followup and returns: see docs/catalog.md, or ask "show tables" and
"describe runs". A query reads these and nothing else: no file, no address."""
_FOLLOWUP: Final = """\
Signals count whose outcome was not in their run's data: those of its last days. The results are kept beside
the run folders, in catalog/followup.parquet."""
_UI: Final = """\
On this machine's own address no other machine can reach them. On any other a token is asked for: that of
FILE or of QLIB_SHADOW_UI_TOKEN, or one that is made and printed."""
_CACHE: Final = """\
Features are kept under the hash of the data, the question and the code, so that they are computed once. What
is removed is computed again; a run that is reading it goes on."""
_STAGE: Final = """\
QLIB_SHADOW_REQUEST holds the run as JSON, QLIB_SHADOW_DATA says where the volume is (default /data),
QLIB_SHADOW_WORK where there is room to work (default /work), and QLIB_SHADOW_TERMINATION_LOG where the
result goes besides the run folder."""
_COMPLETION: Final = """\
bash:  source <(qlib-shadow completion bash)                       in ~/.bashrc
zsh:   source <(qlib-shadow completion zsh)                        in ~/.zshrc, after compinit
fish:  qlib-shadow completion fish | source                        in ~/.config/fish/config.fish"""

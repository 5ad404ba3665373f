"""What may be typed to look at runs: each by itself, all of them, side by side, and as pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.words.shared import add_command, add_data, add_json, add_name, add_output
from qlib_shadow_runner.contract import Metrics

if TYPE_CHECKING:
    from qlib_shadow_runner.cli.words.shared import Commands, Parser

SORTS: Final = ("started", "size", *Metrics.__annotations__)
"""What runs are listed by."""
_VERIFY: Final = """\
Recomputes hashes and figures from what the run left. Reads the recorder's pickles: verify only runs that
you trust."""
_REPORT: Final = """\
A run makes its report itself. This makes it again, with the whole of the golden run's checklist, for a run
that is older than reports or has lost its own."""
_COMPARE: Final = """\
Two runs or more. The table is printed; the page holds the curves too."""
_QUERY: Final = """\
The views are runs, signals, metrics, followup and returns: see docs/catalog.md, or ask "show tables" and
"describe runs". A query reads these and nothing else: no file, no address."""
_FOLLOWUP: Final = """\
Signals count whose outcome was not in their run's data: those of its last days. The results are kept beside
the run folders, in catalog/followup.parquet."""
_UI: Final = """\
On this machine's own address no other machine can reach them. On any other a token is asked for: that of
FILE or of QLIB_SHADOW_UI_TOKEN, or one that is made and printed."""


def add_verify(commands: Commands[Parser]) -> None:
    """Take `verify`."""
    verify = add_command(commands, "verify", "check every promise about a run", _VERIFY)
    add_name(verify)
    add_data(verify, "the volume: where RUN is looked for, and where its dataset is if its folder was moved")
    add_json(verify)


def add_runs(commands: Commands[Parser]) -> None:
    """Take `runs`."""
    runs = add_command(commands, "runs", "list the runs, newest first")
    add_data(runs)
    runs.add_argument(
        "--sort",
        choices=SORTS,
        metavar="FIGURE",
        default=SORTS[0],
        help="the best first, by ic, rankIc, informationRatio or another figure of metrics.json, or by size",
    )
    add_json(runs)


def add_show(commands: Commands[Parser]) -> None:
    """Take `show`."""
    show = add_command(commands, "show", "show one run: metadata, metrics, files and logs")
    add_name(show)
    add_data(show)
    add_json(show)


def add_report(commands: Commands[Parser]) -> None:
    """Take `report`."""
    report = add_command(commands, "report", "make a run's report.html again", _REPORT)
    add_name(report)
    add_data(report, "the volume: where RUN is looked for, and where its dataset is if its folder was moved")
    add_output(report, "report.html in the run folder")
    report.add_argument(
        "--png", type=Path, default=None, metavar="FOLDER", help="write each chart as a PNG into FOLDER too"
    )
    add_json(report)


def add_compare(commands: Commands[Parser]) -> None:
    """Take `compare`."""
    compare = add_command(
        commands, "compare", "put runs side by side: figures, curves, differences", _COMPARE
    )
    compare.add_argument("runs", nargs="+", metavar="RUN", help="ids, beginnings of ids, or folders")
    add_data(compare)
    add_output(compare, "./compare.html")
    add_json(compare)


def add_query(commands: Commands[Parser]) -> None:
    """Take `query`."""
    query = add_command(commands, "query", "ask about all runs and their signals in SQL", _QUERY)
    query.add_argument("sql", metavar="SQL", help="one SELECT, or - for stdin")
    add_data(query)
    form = query.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV")
    add_json(form)


def add_followup(commands: Commands[Parser]) -> None:
    """Take `followup`."""
    summary = "look up what became of past signals, now that newer data is there"
    followup = add_command(commands, "followup", summary, _FOLLOWUP)
    add_data(followup)
    add_json(followup)


def add_ui(commands: Commands[Parser]) -> None:
    """Take `ui`."""
    ui = add_command(commands, "ui", "show the runs as web pages that change nothing", _UI)
    add_data(ui)
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
    ui.add_argument(
        "--resources",
        action="store_true",
        help="in a pod: show the QlibShadowRun resources of its namespace too",
    )
    add_json(ui)

"""The table of commands: what is printed about each, its options, and the function that does its work.

A new command is one module and one row here. Nothing that a command needs is imported for the table, so that
`qlib-shadow --help` and the quick commands start fast.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.cli.command import Command
from qlib_shadow_runner.cli.commands_of_nights import OF_NIGHTS
from qlib_shadow_runner.cli.options import (
    DATA,
    DATA_IF_GIVEN,
    DEADLINE,
    FILE,
    JSON,
    PRICES,
    RUN,
    TEMPLATE,
    manifest_path,
    one_of,
    option,
    output,
)
from qlib_shadow_runner.contract import Metrics, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


SORTS: Final = ("started", "size", *Metrics.__annotations__)
LISTED_STATUSES: Final = (
    *("complete", "failed", "interrupted", "running", "not-golden"),
    *("damaged", "downloaded"),
)
SHELLS: Final = ("bash", "zsh", "fish")


COMMANDS: Final[Mapping[str, Command]] = {
    "run": Command(
        "cli.local_run:run_locally",
        "run a QlibShadowRun here, without a cluster",
        (
            FILE,
            TEMPLATE,
            PRICES,
            DATA,
            option(
                "--resume",
                action="store_true",
                help="continue the newest run of this file that was interrupted or failed, where it stopped",
            ),
            DEADLINE,
            JSON,
        ),
        """\
A runId in the spec names the run folder. The same manifest can be run again with the same runId: the run
continues where it was interrupted. Without a runId each call is a new run, and --resume continues the last.
A changed manifest is another run. A stage that is not done within its deadline is stopped; the run can be
continued.""",
    ),
    "predict": Command(
        "cli.predict:predict_with",
        "ask a finished run's question of the data as it is now, with its model",
        (RUN, PRICES, DATA, DEADLINE, JSON),
        """\
Nothing is trained: the download stage runs as the run's spec says, then its model predicts. It is a new run
with a folder of its own. It is refused where the recipe, the features or the data are others than the
model's. In a manifest: workflow.model.from.""",
    ),
    "download": Command(
        "cli.download:download_here",
        "make or verify the dataset of a QlibShadowRun, without training",
        (FILE, PRICES, DATA, DEADLINE, JSON),
        "The log is kept in a run folder of its own; the spec's runId stays free for the run.",
    ),
    "validate": Command(
        "cli.validate:print_validation",
        "check a QlibShadowRun without running it",
        (FILE, TEMPLATE, PRICES, JSON),
        """\
Prints every fault that can be found without the data, with the nearest valid word. With --prices, the columns
of the files are checked too.""",
    ),
    "adopt": Command(
        "cli.adopt:adopt_file",
        "make a QlibShadowRun of a workflow file for plain qrun",
        (
            option(
                "file",
                type=manifest_path,
                metavar="FILE",
                help="the file that qrun would take, or - for stdin",
            ),
            option(
                "--output", type=Path, metavar="FILE", help="a new file for the manifest (default: stdout)"
            ),
            option("--name", metavar="NAME", help="the name of the run (default: from that of the file)"),
            JSON,
        ),
        """\
The manifest holds the file's workflow as a template in a ConfigMap, and a run that names it. stderr lists
what is written differently and what is left out, each with its reason. docs/qlib-examples.md says what
becomes of Qlib's own examples.""",
    ),
    "render": Command(
        "cli.render:print_preview",
        "print the workflow that qrun would be given",
        (FILE, TEMPLATE, PRICES, DATA, JSON),
        "Needs a dataset that is there and verified: see qlib-shadow download.",
    ),
    "verify": Command(
        "cli.verify:print_verification",
        "check every promise about a run",
        (RUN, DATA_IF_GIVEN, JSON),
        """\
Recomputes hashes and figures from what the run left. The recorder's pickles are read again by a child process
that makes nothing of what they name: a run of others can be verified.""",
    ),
    "runs": Command(
        "cli.runs:print_runs",
        "list the runs, newest first",
        (
            DATA,
            option(
                "--sort",
                choices=SORTS,
                metavar="FIGURE",
                default=SORTS[0],
                help="the best first, by ic, rankIc, informationRatio or another figure of metrics.json, "
                "or by size",
            ),
            option(
                "--status",
                action="append",
                choices=LISTED_STATUSES,
                metavar="STATUS",
                help=f"only runs of this status: {', '.join(LISTED_STATUSES)} (repeatable)",
            ),
            option(
                "--since", metavar="WHEN", help="only runs that started since a day, 2026-11-20, or for 7d"
            ),
            option(
                "--column",
                action="append",
                metavar="NAME",
                help="a column more, of RUN_METADATA.json or workflow.yaml, such as seed, strategy.topk or "
                "num_leaves (repeatable)",
            ),
            JSON,
        ),
        "Downloads without a training are left out, unless --status downloaded asks for them.",
    ),
    "show": Command(
        "cli.show:print_run", "show one run: metadata, metrics, files and logs", (RUN, DATA, JSON)
    ),
    "report": Command(
        "cli.report:print_report",
        "make a run's report.html again",
        (
            RUN,
            DATA_IF_GIVEN,
            output("report.html in the run folder"),
            option("--png", type=Path, metavar="FOLDER", help="write each chart as a PNG into FOLDER too"),
            JSON,
        ),
        """\
A run makes its own report. This makes it again, with the whole checklist of verify, for a run that is older
than reports or has lost its report.""",
    ),
    "compare": Command(
        "cli.compare:print_comparison",
        "put runs side by side: figures, curves, differences",
        (
            option("runs", nargs="+", metavar="RUN", help="ids, beginnings of ids, or folders"),
            DATA,
            output("./compare.html"),
            JSON,
        ),
        "Two runs or more. The table is printed; the page holds the curves too.",
    ),
    "prune": Command(
        "cli.prune:prune_command",
        "remove old run folders and unused dataset versions",
        (
            DATA,
            option(
                "--keep", metavar="N", help="never remove the N newest runs; alone, remove all the others"
            ),
            option("--older-than", metavar="DAYS", help="remove runs that started more than DAYS ago"),
            option("--max-size", metavar="SIZE", help="remove the oldest runs until all fit, such as 10G"),
            one_of(
                option("--datasets", action="store_true", help="only dataset versions"),
                option("--run-folders", action="store_true", help="only run folders"),
            ),
            option("--dry-run", action="store_true", help="print the same and remove nothing"),
            JSON,
        ),
        """\
Runs that have not ended, the dataset versions they use, the versions that a name points at, and whatever
qlib-shadow did not make are never removed. A run that was interrupted, or failed where another attempt may
help, counts as one that has not ended, for seven days.""",
    ),
    "cache": Command(
        "cli.cache_command:use_cache",
        "list or remove the features and binned data that are kept",
        (
            option("action", choices=("ls", "clear")),
            DATA,
            option("--max-size", metavar="SIZE", help="with clear: keep the last used that fit, such as 10G"),
            JSON,
        ),
        """\
Features are kept by the hash of the data, the request and the code, and LightGBM's binned data by the hash of
the values, so that each is computed once. What is removed is computed again when it is needed; a run that is
reading it continues. The longest unused entries are removed automatically.""",
    ),
    "query": Command(
        "cli.query:print_answer",
        "ask about all runs and their signals in SQL",
        (
            option("sql", metavar="SQL", help="one SELECT, or - for stdin"),
            DATA,
            one_of(option("--csv", dest="as_csv", action="store_true", help="print CSV"), JSON),
        ),
        """\
The views are runs, signals, metrics, followup, models, returns, books and ledger_decisions, ledger_gates,
ledger_orders, ledger_fills, ledger_positions and ledger_nav: see docs/catalog.md, or ask "show tables" and
"describe runs". A query can read only these: no files and no addresses.""",
    ),
    "followup": Command(
        "cli.followup:print_followup",
        "compute the outcome of past signals from newer data",
        (DATA, JSON),
        """\
Only signals count whose outcome was not in the data of their run: those of its last days. The results are
kept beside the run folders, in catalog/followup.parquet.""",
    ),
    **OF_NIGHTS,
    "ui": Command(
        "ui.server:serve",
        "show the runs as web pages that change nothing",
        (
            DATA,
            option(
                "--host",
                metavar="ADDRESS",
                default="127.0.0.1",
                help="where to listen (default: %(default)s)",
            ),
            option(
                "--port",
                metavar="N",
                default="8321",
                help="which port, or 0 for a free one (default: %(default)s)",
            ),
            option(
                "--token-file",
                type=Path,
                metavar="FILE",
                help="require the token in FILE (default: QLIB_SHADOW_UI_TOKEN)",
            ),
            option(
                "--resources",
                action="store_true",
                help="in a pod: show the QlibShadowRun resources of its namespace too",
            ),
            JSON,
        ),
        """\
On 127.0.0.1 no other machine can reach the pages. On any other address a token is required: that of FILE or
of QLIB_SHADOW_UI_TOKEN, or one that is generated and printed.""",
    ),
    "doctor": Command("cli.doctor:print_health", "check whether runs can be done here", (DATA, JSON)),
    "stage": Command(
        "cli.stage:run_one_stage",
        "run one stage, as its Job does",
        (
            option("stage", choices=[str(stage) for stage in Stage]),
            option(
                "--report",
                action="store_true",
                help="do not run it; deliver its result again, from the run folder",
            ),
        ),
        """\
The environment says which run: QLIB_SHADOW_REQUEST holds it as JSON, QLIB_SHADOW_DATA is the volume (default
/data), QLIB_SHADOW_WORK a folder for temporary files (default /work), and QLIB_SHADOW_TERMINATION_LOG a file
that gets the result too.""",
    ),
    "completion": Command(
        "cli.completion:print_script",
        "print a script for completion in a shell",
        (option("shell", choices=SHELLS),),
        """\
bash:  source <(qlib-shadow completion bash)                       in ~/.bashrc
zsh:   source <(qlib-shadow completion zsh)                        in ~/.zshrc, after compinit
fish:  qlib-shadow completion fish | source                        in ~/.config/fish/config.fish""",
    ),
}
"""Every command, in the order of the help."""


def load_command(name: str) -> Callable[..., int]:
    """Import and return the function that does a command's work."""
    module, _, function = COMMANDS[name].function.partition(":")
    work: Any = getattr(import_module(f"qlib_shadow_runner.{module}"), function)
    return work  # type: ignore[no-any-return]

"""What may be typed to do research: run, download, validate, render, and a Job's own `stage`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.words.shared import add_command, add_data, add_file, add_json, add_template
from qlib_shadow_runner.contract import Stage

if TYPE_CHECKING:
    from qlib_shadow_runner.cli.words.shared import Commands, Parser

_RUN: Final = """\
A spec with a runId names its folder. The same manifest may be run again under the same runId: it goes on
where it was interrupted. A changed one needs another runId."""
_DOWNLOAD: Final = """\
The log is kept in a run folder of its own; the spec's runId stays free for the run."""
_VALIDATE: Final = """\
Names every fault that can be found without the data, with the nearest word that would be right."""
_RENDER: Final = """\
Needs a dataset that is there and verified: see qlib-shadow download."""
_STAGE: Final = """\
QLIB_SHADOW_REQUEST holds the run as JSON, QLIB_SHADOW_DATA says where the volume is (default /data),
QLIB_SHADOW_WORK where there is room to work (default /work), and QLIB_SHADOW_TERMINATION_LOG where the
result goes besides the run folder."""


def add_run(commands: Commands[Parser]) -> None:
    """Take `run`."""
    run = add_command(commands, "run", "run a QlibShadowRun here, without a cluster", _RUN)
    add_file(run)
    add_template(run)
    add_data(run)
    add_json(run)


def add_download(commands: Commands[Parser]) -> None:
    """Take `download`."""
    summary = "make or verify the dataset of a QlibShadowRun, no more"
    download = add_command(commands, "download", summary, _DOWNLOAD)
    add_file(download)
    add_data(download)
    add_json(download)


def add_validate(commands: Commands[Parser]) -> None:
    """Take `validate`."""
    summary = "check a QlibShadowRun without running it"
    validate = add_command(commands, "validate", summary, _VALIDATE)
    add_file(validate)
    add_template(validate)
    add_json(validate)


def add_render(commands: Commands[Parser]) -> None:
    """Take `render`."""
    render = add_command(commands, "render", "print the workflow that qrun would be given", _RENDER)
    add_file(render)
    add_template(render)
    add_data(render)
    add_json(render)


def add_stage(commands: Commands[Parser]) -> None:
    """Take `stage`."""
    stage = add_command(
        commands, "stage", "do one stage, as a Job does; told what to do by the environment", _STAGE
    )
    stage.add_argument("stage", choices=[str(stage) for stage in Stage])
    stage.add_argument(
        "--report",
        action="store_true",
        help="do nothing; tell again how the stage ended, from the run folder",
    )

"""The commands and their options; each command's work is elsewhere and imported when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import ENV_DATA, ExitCode, Stage
from qlib_shadow_runner.errors import StageError, from_os_error, unexpected

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED_BY_HAND = 130


def main(arguments: Sequence[str]) -> int:
    """Run one command; every failure is a sentence and an exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except StageError as error:
        failure = error
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        failure = from_os_error(error)
    except KeyboardInterrupt:
        return INTERRUPTED_BY_HAND
    except Exception as error:  # noqa: BLE001 - the edge of the process
        failure = unexpected(error)
    sys.stderr.write(f"qlib-shadow: {failure.reason}: {failure.message}\n")
    return failure.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qlib-shadow",
        description="Reproducible Qlib research that never trades.",
        epilog="Exit codes: 0 done, 1 a check failed, 2 usage, 10 bad configuration, 11 bad data, "
        "13 try again, 14 disk full, 130 interrupted by hand, 137 out of memory, 143 terminated.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_download(commands)
    _add_validate(commands)
    _add_render(commands)
    _add_verify(commands)
    _add_runs(commands)
    _add_show(commands)
    _add_prune(commands)
    _add_doctor(commands)
    _add_stage(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser("run", help="run a QlibShadowRun here, without a cluster")
    run.add_argument("file", type=Path, metavar="FILE", help="the manifest that kubectl would apply")
    _add_template(run)
    _add_data(run)
    run.add_argument("--json", action="store_true", help="print the outcome as JSON and nothing else")
    run.set_defaults(command=_run)


def _add_download(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    download = commands.add_parser("download", help="make or verify the dataset of a QlibShadowRun, no more")
    download.add_argument("file", type=Path, metavar="FILE")
    _add_data(download)
    _add_json(download)
    download.set_defaults(command=_download)


def _add_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    validate = commands.add_parser("validate", help="check a QlibShadowRun without running it")
    validate.add_argument("file", type=Path, metavar="FILE")
    _add_template(validate)
    validate.set_defaults(command=_validate)


def _add_render(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    render = commands.add_parser("render", help="print the workflow that qrun would be given")
    render.add_argument("file", type=Path, metavar="FILE")
    _add_template(render)
    _add_data(render)
    render.set_defaults(command=_render)


def _add_verify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verify = commands.add_parser(
        "verify",
        help="check every promise about a run folder",
        description="Reads the recorder's pickles: verify only folders that you trust.",
    )
    verify.add_argument("folder", type=Path, metavar="RUN_FOLDER")
    verify.add_argument(
        "--data", type=Path, default=None, help="the volume, where the folder was moved out of it"
    )
    verify.add_argument("--json", action="store_true", help="print the lines as JSON")
    verify.set_defaults(command=_verify)


def _add_runs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    runs = commands.add_parser("runs", help="list the runs, newest first")
    _add_data(runs)
    _add_json(runs)
    runs.set_defaults(command=_runs)


def _add_show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    show = commands.add_parser("show", help="show one run: metadata, metrics, files and logs")
    show.add_argument("run", metavar="RUN", help="its id, the beginning of its id, or its folder")
    _add_data(show)
    _add_json(show)
    show.set_defaults(command=_show)


def _add_prune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    prune = commands.add_parser(
        "prune",
        help="remove old run folders and unused dataset versions",
        description="Runs that have not ended, the dataset versions they use, the versions that a name "
        "points at, and whatever qlib-shadow did not make are never removed.",
    )
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
    prune.set_defaults(command=_prune)


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser("doctor", help="check whether runs can be done here")
    _add_data(doctor)
    _add_json(doctor)
    doctor.set_defaults(command=_doctor)


def _add_stage(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    stage = commands.add_parser(
        "stage", help="do one stage, as a Job does; told what to do by the environment"
    )
    stage.add_argument("stage", choices=[str(stage) for stage in Stage])
    stage.add_argument(
        "--report",
        action="store_true",
        help="do nothing; tell again how the stage ended, from the run folder",
    )
    stage.set_defaults(command=_stage)


def _add_template(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--template",
        type=Path,
        default=None,
        metavar="FILE",
        help="the text of spec.workflow.configMapRef (default: that of the ConfigMap in the manifest's file)",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get(ENV_DATA) or "data"),
        help=f"the folder that stands for /data (default: {ENV_DATA}, else ./data)",
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")


class _Version(argparse.Action):
    """Look the version up only when asked: it costs a tenth of a second."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415

        sys.stdout.write(f"qlib-shadow {version('qlib-shadow-operator')}\n")
        parser.exit()


def _run(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.local_run import run_locally  # noqa: PLC0415

    return run_locally(options.file, options.data, template=options.template, as_json=options.json)


def _download(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.download import download_here  # noqa: PLC0415

    return download_here(options.file, options.data, as_json=options.json)


def _validate(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.manifest import load_manifest  # noqa: PLC0415
    from qlib_shadow_runner.cli.own_template import template_of  # noqa: PLC0415
    from qlib_shadow_runner.workflow.rehearsal import rehearse  # noqa: PLC0415

    manifest = load_manifest(options.file)
    rehearse(manifest.parse(), template_of(manifest, options.template))
    sys.stdout.write(f"{options.file}: QlibShadowRun {manifest.name} is valid\n")
    return ExitCode.DONE


def _render(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.manifest import load_manifest  # noqa: PLC0415
    from qlib_shadow_runner.cli.own_template import template_of  # noqa: PLC0415
    from qlib_shadow_runner.cli.preview import preview  # noqa: PLC0415

    manifest = load_manifest(options.file)
    sys.stdout.write(preview(manifest, template_of(manifest, options.template), options.data))
    return ExitCode.DONE


def _verify(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.golden import print_verification  # noqa: PLC0415

    return print_verification(options.folder, options.data, as_json=options.json)


def _runs(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.runs import print_runs  # noqa: PLC0415

    return print_runs(options.data, as_json=options.json)


def _show(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.show import print_run  # noqa: PLC0415

    return print_run(options.run, options.data, as_json=options.json)


def _prune(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime  # noqa: PLC0415

    from qlib_shadow_runner.cli import amounts  # noqa: PLC0415
    from qlib_shadow_runner.cli.prune import Criteria, prune  # noqa: PLC0415

    keep, older_than, max_size = options.keep, options.older_than, options.max_size
    criteria = Criteria(
        keep=None if keep is None else amounts.count(keep, "--keep"),
        older_than=None if older_than is None else amounts.days(older_than, "--older-than"),
        max_size=None if max_size is None else amounts.size(max_size, "--max-size"),
    )
    return prune(
        options.data,
        criteria,
        datetime.now(UTC),
        datasets=not options.run_folders,
        run_folders=not options.datasets,
        dry_run=options.dry_run,
        as_json=options.json,
    )


def _doctor(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.doctor import print_health  # noqa: PLC0415

    return print_health(options.data, as_json=options.json)


def _stage(options: argparse.Namespace) -> int:
    if options.report:
        from qlib_shadow_runner.report import tell_again  # noqa: PLC0415

        return tell_again(Stage(options.stage), os.environ)
    from qlib_shadow_runner.stage import run_stage  # noqa: PLC0415

    return run_stage(Stage(options.stage), os.environ)

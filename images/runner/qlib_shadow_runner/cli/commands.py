"""From what was typed to what is done; each command's work is elsewhere and imported when it is called."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.parser import PROGRAM, build_parser
from qlib_shadow_runner.cli.printing import print_json
from qlib_shadow_runner.cli.words.shared import UsageError, data_folder
from qlib_shadow_runner.contract import ExitCode, Reason, Stage
from qlib_shadow_runner.errors import StageError, from_os_error, unexpected

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

WRONG_USAGE: Final = 2
WRONG_USAGE_REASON: Final = "WrongUsage"
INTERRUPTED_BY_HAND: Final = 130


def main(arguments: Sequence[str]) -> int:
    """Run one command; every failure is a sentence and an exit code."""
    as_json = "--json" in arguments
    try:
        options = build_parser().parse_args(arguments)
        return COMMANDS[options.command](options)
    except UsageError as error:
        sys.stderr.write("" if as_json else error.usage)
        return _fail(WRONG_USAGE_REASON, error.message, WRONG_USAGE, as_json=as_json)
    except StageError as error:
        failure = error
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        failure = from_os_error(error)
    except KeyboardInterrupt:
        return _fail(Reason.INTERRUPTED, "interrupted by hand", INTERRUPTED_BY_HAND, as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the edge of the process
        failure = unexpected(error)
    return _fail(failure.reason, failure.message, failure.exit_code, as_json=as_json)


def _fail(reason: str, message: str, code: int, *, as_json: bool) -> int:
    if as_json:
        print_json({"reason": reason, "message": message, "exitCode": code})
    else:
        sys.stderr.write(f"{PROGRAM}: {reason}: {message}\n")
    return code


def _run(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.local_run import run_locally  # noqa: PLC0415

    return run_locally(
        options.file, data_folder(options.data), template=options.template, as_json=options.json
    )


def _download(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.download import download_here  # noqa: PLC0415

    return download_here(options.file, data_folder(options.data), as_json=options.json)


def _validate(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.validate import print_validation  # noqa: PLC0415

    return print_validation(options.file, options.template, as_json=options.json)


def _render(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.preview import print_preview  # noqa: PLC0415
    from qlib_shadow_runner.cli.run_manifest import load_manifest  # noqa: PLC0415
    from qlib_shadow_runner.cli.user_template import template_of  # noqa: PLC0415

    manifest = load_manifest(options.file)
    template = template_of(manifest, options.template)
    return print_preview(manifest, template, data_folder(options.data), as_json=options.json)


def _verify(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.verify import print_verification  # noqa: PLC0415

    return print_verification(options.run, options.data, as_json=options.json)


def _runs(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.runs import print_runs  # noqa: PLC0415

    return print_runs(data_folder(options.data), options.sort, as_json=options.json)


def _show(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.show import print_run  # noqa: PLC0415

    return print_run(options.run, data_folder(options.data), as_json=options.json)


def _report(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.report import ReportOutput, print_report  # noqa: PLC0415

    wanted = ReportOutput(options.output, options.png)
    return print_report(options.run, data_folder(options.data), options.data, wanted, as_json=options.json)


def _compare(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.compare import print_comparison  # noqa: PLC0415

    return print_comparison(options.runs, data_folder(options.data), options.output, as_json=options.json)


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
        data_folder(options.data),
        criteria,
        datetime.now(UTC),
        datasets=not options.run_folders,
        run_folders=not options.datasets,
        dry_run=options.dry_run,
        as_json=options.json,
    )


def _doctor(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.doctor import print_health  # noqa: PLC0415

    return print_health(data_folder(options.data), as_json=options.json)


def _cache(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.amounts import size  # noqa: PLC0415
    from qlib_shadow_runner.cli.cache_command import clear_cache, print_cache, refuse_size  # noqa: PLC0415

    data, wanted = data_folder(options.data), options.max_size
    if options.action == "clear":
        limit = None if wanted is None else size(wanted, "--max-size")
        return clear_cache(data, limit, as_json=options.json)
    if wanted is not None:
        raise refuse_size()
    return print_cache(data, as_json=options.json)


def _query(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.query import print_answer  # noqa: PLC0415

    form = "json" if options.json else "csv" if options.csv else "table"
    return print_answer(options.sql, data_folder(options.data), form)


def _followup(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.followup import print_followup  # noqa: PLC0415

    return print_followup(data_folder(options.data), as_json=options.json)


def _ui(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.ui.server import serve  # noqa: PLC0415

    return serve(
        data_folder(options.data),
        host=options.host,
        port=options.port,
        token_file=options.token_file,
        resources=options.resources,
        as_json=options.json,
    )


def _stage(options: argparse.Namespace) -> int:
    if options.report:
        from qlib_shadow_runner.stages.result_delivery import recover_result  # noqa: PLC0415

        return recover_result(Stage(options.stage), os.environ)
    from qlib_shadow_runner.stages.harness import run_stage  # noqa: PLC0415

    return run_stage(Stage(options.stage), os.environ)


def _completion(options: argparse.Namespace) -> int:
    from qlib_shadow_runner.cli.completion import script  # noqa: PLC0415

    sys.stdout.write(script(options.shell, build_parser()))
    return ExitCode.DONE


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "run": _run,
    "download": _download,
    "validate": _validate,
    "render": _render,
    "verify": _verify,
    "runs": _runs,
    "show": _show,
    "report": _report,
    "compare": _compare,
    "prune": _prune,
    "cache": _cache,
    "query": _query,
    "followup": _followup,
    "ui": _ui,
    "doctor": _doctor,
    "stage": _stage,
    "completion": _completion,
}
"""What each command does."""

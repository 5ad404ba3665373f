"""`python -m qlib_shadow_runner.stages.steps NAME ARGUMENTS REPORT`: heavy work in a child process.

A step frees its memory and imports by ending. It writes its findings, or the reason and message of its
failure, to the file REPORT.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError, from_os_error, unexpected
from qlib_shadow_runner.printing import print_error_text
from qlib_shadow_runner.storage.files import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def dataset(arguments: Mapping[str, object]) -> dict[str, object]:
    """Build or verify the dataset while holding its lock."""
    from qlib_shadow_runner.dataset.ensure import ensure  # noqa: PLC0415 - each step loads only its own imports
    from qlib_shadow_runner.runs.request import requested_spec  # noqa: PLC0415
    from qlib_shadow_runner.spec import parse_spec  # noqa: PLC0415
    from qlib_shadow_runner.storage.volume import Volume  # noqa: PLC0415

    spec = parse_spec(requested_spec(os.environ)).dataset.at(Volume(Path(str(arguments["mount"]))))
    resolved = ensure(Path(str(arguments["canonical"])), spec)
    return {"folder": str(resolved.folder)}


def export(arguments: Mapping[str, object]) -> dict[str, object]:
    """Export the recorder's pickles to files in open formats."""
    from qlib_shadow_runner.export import export_run  # noqa: PLC0415

    return export_run(
        Path(str(arguments["folder"])), Path(str(arguments["artifacts"])), str(arguments["format"])
    )


def catalog(arguments: Mapping[str, object]) -> dict[str, object]:
    """Update the catalog of runs."""
    from qlib_shadow_runner.catalog.update import add_finished_run  # noqa: PLC0415
    from qlib_shadow_runner.storage.volume import Volume  # noqa: PLC0415

    return {"runs": len(add_finished_run(Volume(Path(str(arguments["mount"])))).runs)}


def report(arguments: Mapping[str, object]) -> dict[str, object]:
    """Make report.html from the files of the run so far."""
    from qlib_shadow_runner.report.make import make_report  # noqa: PLC0415

    return make_report(Path(str(arguments["folder"])), Path(str(arguments["mount"])))


STEPS: Final[Mapping[str, Callable[[Mapping[str, object]], dict[str, object]]]] = {
    "dataset": dataset,
    "export": export,
    "report": report,
    "catalog": catalog,
}


def main(name: str, arguments: str, report: str) -> int:
    """Run one step and write its findings or its failure."""
    try:
        findings = STEPS[name](json.loads(arguments))
    except Exception as error:  # noqa: BLE001 - the stage needs a reason for every failure
        failure = _failure(error)
        if failure.reason is Reason.INTERNAL_ERROR:
            print_error_text(traceback.format_exc())
        findings = {"reason": failure.reason, "message": failure.message}
    write_json(Path(report), findings)
    return 0


def _failure(error: Exception) -> StageError:
    if isinstance(error, StageError):
        return error
    if isinstance(error, MemoryError):
        return StageError(Reason.OUT_OF_MEMORY, "memory ran out. Raise the stage's memory limit.")
    if isinstance(error, OSError):
        return from_os_error(error)
    return unexpected(error)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))

"""`qlib-shadow report`: make a run's report.html again, or elsewhere, or as pictures to paste."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qlib_shadow_runner.cli.printing import print_json
from qlib_shadow_runner.contract import REPORT_FILE, ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.runs.folder import RunFolder
from qlib_shadow_runner.runs.listing import ListedRun, find_run
from qlib_shadow_runner.storage.files import write_atomically
from qlib_shadow_runner.storage.volume import make_folder

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class ReportOutput:
    """Where what goes."""

    output: Path | None = None
    """A file instead of report.html in the run folder."""
    png: Path | None = None
    """A folder for the charts."""


def print_report(
    name: str, data: Path, mount: Path | None, report_output: ReportOutput, *, as_json: bool
) -> int:
    """Make the report of the one run that is meant, and say where it is."""
    run = find_run(data, name)
    if not run.ended:
        raise StageError(
            Reason.INVALID_SPEC,
            f"the run {run.run_id} is {run.status}; it makes its report itself when it is done",
        )
    if report_output.output is not None:
        refuse_folder(report_output.output)
    if report_output.png is not None:
        make_folder(report_output.png)
    page, pictures = _page(run, mount, report_output), _pictures(run, report_output)
    if as_json:
        print_json({"runId": run.run_id, "report": str(page), "png": [str(path) for path in pictures]})
    else:
        sys.stdout.write("".join(f"{path}\n" for path in (page, *pictures)))
    return ExitCode.DONE


def _page(run: ListedRun, mount: Path | None, report_output: ReportOutput) -> Path:
    from qlib_shadow_runner.report.make import make_report, report_of  # noqa: PLC0415 - takes seconds

    if report_output.output is None:
        RunFolder(run.folder).update_metadata(**make_report(run.folder, mount))
        return run.folder / REPORT_FILE
    write_atomically(report_output.output, report_of(run.folder, mount).encode())
    return report_output.output


def _pictures(run: ListedRun, report_output: ReportOutput) -> list[Path]:
    if report_output.png is None:
        return []
    from qlib_shadow_runner.report.page import charts_of  # noqa: PLC0415

    found = []
    for chart in charts_of(run.folder):
        path = report_output.png / f"{chart.name}.png"
        write_atomically(path, chart.png())
        found.append(path)
    return found


def refuse_folder(output: Path) -> None:
    """Hold that a page can be put there."""
    if output.is_dir():
        raise StageError(
            Reason.INVALID_SPEC, f"{output} is a folder; name a file, such as {output}/report.html"
        )
    if not output.parent.is_dir():
        raise StageError(
            Reason.INVALID_SPEC, f"{output.parent} is not a folder; make it, or name another file"
        )

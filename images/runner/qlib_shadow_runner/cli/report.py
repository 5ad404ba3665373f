"""`qlib-shadow report`: make a run's report.html again, and its charts as PNG files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.cli.options import default_data
from qlib_shadow_runner.contract import REPORT_FILE, ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_json, print_lines
from qlib_shadow_runner.runs.folder import RunFolder
from qlib_shadow_runner.runs.listing import ListedRun, find_run
from qlib_shadow_runner.storage.files import write_atomically
from qlib_shadow_runner.storage.volume import make_folder

if TYPE_CHECKING:
    from pathlib import Path


def print_report(run: str, data: Path | None, output: Path | None, png: Path | None, *, as_json: bool) -> int:
    """Make the report of a run that has ended, and print where it is."""
    found = find_run(data or default_data(), run)
    if not found.ended:
        raise StageError(
            Reason.INVALID_SPEC,
            f"the run {found.run_id} is {found.status}; it makes its report itself when it is done",
        )
    if output is not None:
        require_writable_file(output)
    if png is not None:
        make_folder(png)
    page, charts = _write_page(found, data, output), [] if png is None else _write_charts(found, png)
    if as_json:
        print_json({"runId": found.run_id, "report": str(page), "png": [str(path) for path in charts]})
    else:
        print_lines(map(str, (page, *charts)))
    return ExitCode.DONE


def _write_page(run: ListedRun, mount: Path | None, output: Path | None) -> Path:
    from qlib_shadow_runner.report.make import make_report, report_of  # noqa: PLC0415 - takes seconds

    if output is None:
        RunFolder(run.folder).update_metadata(**make_report(run.folder, mount))
        return run.folder / REPORT_FILE
    write_atomically(output, report_of(run.folder, mount).encode())
    return output


def _write_charts(run: ListedRun, folder: Path) -> list[Path]:
    from qlib_shadow_runner.report.page import charts_of  # noqa: PLC0415

    paths = []
    for chart in charts_of(run.folder):
        path = folder / f"{chart.name}.png"
        write_atomically(path, chart.png())
        paths.append(path)
    return paths


def require_writable_file(output: Path) -> None:
    """Raise unless a page can be written to this path."""
    if output.is_dir():
        raise StageError(
            Reason.INVALID_SPEC, f"{output} is a folder; name a file, such as {output}/report.html"
        )
    if not output.parent.is_dir():
        raise StageError(
            Reason.INVALID_SPEC, f"{output.parent} is not a folder; make it, or name another file"
        )

"""Make report.html in a run folder."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.analysis.facts import RunFacts
from qlib_shadow_runner.analysis.figures import ReportMaterial
from qlib_shadow_runner.analysis.outputs import Outputs, read_metadata
from qlib_shadow_runner.contract import REPORT_FILE
from qlib_shadow_runner.crash_points import ReportPoint, fault_point
from qlib_shadow_runner.report.page import gather, render_report
from qlib_shadow_runner.storage.files import sync_folder, write_atomically
from qlib_shadow_runner.tables.files import read_tables
from qlib_shadow_runner.verify import check_all
from qlib_shadow_runner.verify.acceptance import REPORT_CHECK
from qlib_shadow_runner.verify.evidence import Evidence

if TYPE_CHECKING:
    from pathlib import Path

AT_WORK: Final = "running"


def make_report(folder: Path, mount: Path | None = None) -> dict[str, object]:
    """Write report.html, and return its fields for the metadata."""
    content = report_of(folder, mount).encode()
    fault_point(ReportPoint.MADE)
    write_atomically(folder / REPORT_FILE, content)
    sync_folder(folder)
    return {"report_sha256": hashlib.sha256(content).hexdigest(), "report_fault": None}


def report_of(folder: Path, mount: Path | None = None) -> str:
    """Return the page of a run folder.

    The page that a run makes of itself has no checklist, because what the run writes last is not there yet.
    No page can contain the check of itself.
    """
    metadata = read_metadata(folder)
    material = ReportMaterial(Outputs(read_tables(folder, metadata)), RunFacts.of(metadata))
    evidence = Evidence(folder, mount, material)
    checks = [] if metadata.get("status") == AT_WORK else check_all(evidence, without={REPORT_CHECK})
    return render_report(gather(evidence, material, checks))

"""`qlib-shadow verify`: check every promise about a run."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from qlib_shadow_runner.cli.options import default_data
from qlib_shadow_runner.contract import RESULTS, ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_json, print_lines
from qlib_shadow_runner.runs.listing import find_run, golden_passed, golden_path
from qlib_shadow_runner.storage.files import write_json
from qlib_shadow_runner.verify import AcceptanceLine, verify_run
from qlib_shadow_runner.verify.acceptance import REQUIRED_FILES

if TYPE_CHECKING:
    from collections.abc import Sequence


def print_verification(run: str, data: Path | None, *, as_json: bool) -> int:
    """Print every check; return 0 only when all of them pass."""
    folder = _folder_of(run, data)
    lines = verify_run(folder, data)
    if golden_passed(folder) is not None:
        with contextlib.suppress(OSError):  # the folder may be a copy that this user may only read
            record_golden(folder, lines)
    if as_json:
        print_json(as_document(lines))
    else:
        print_lines([*map(str, lines), verdict(lines)])
    return ExitCode.DONE if all_passed(lines) else ExitCode.INTERNAL


def record_golden(folder: Path, lines: Sequence[AcceptanceLine]) -> None:
    """Write the checks to the run folder, so that a list of runs can say that one failed."""
    write_json(golden_path(folder), as_document(lines))


def _folder_of(run: str, data: Path | None) -> Path:
    """Return the run's folder, found by its path, which need not be complete, or by its id."""
    folder = Path(run)
    if folder.is_dir():
        if not any((folder / name).exists() for name in (*REQUIRED_FILES, RESULTS)):
            raise StageError(Reason.INVALID_SPEC, f"{folder} is not a run folder: it holds no file of one")
        return folder
    if "/" in run:
        raise StageError(Reason.INVALID_SPEC, f"{folder} is not a folder; give a run folder or a run's id")
    return find_run(data or default_data(), run).folder


def all_passed(lines: Sequence[AcceptanceLine]) -> bool:
    """Return whether this is a golden run."""
    return all(line.passed for line in lines)


def verdict(lines: Sequence[AcceptanceLine]) -> str:
    """Return the result of all checks in one line."""
    passed = sum(line.passed for line in lines)
    return f"golden run: {'PASS' if all_passed(lines) else 'FAIL'} ({passed}/{len(lines)})"


def as_document(lines: Sequence[AcceptanceLine]) -> dict[str, object]:
    """Return what the JSON output says of the checks."""
    return {"passed": all_passed(lines), "checks": [asdict(line) for line in lines]}

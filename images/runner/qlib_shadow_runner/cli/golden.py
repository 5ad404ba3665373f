"""Showing a verification to a person or a program."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.verify import Line, verify_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def print_verification(folder: Path, data: Path | None, *, as_json: bool) -> int:
    """Print every line; 0 only when all of them hold."""
    if not folder.is_dir():
        raise StageError(Reason.INVALID_SPEC, f"{folder} is not a folder; give a run folder")
    lines = verify_run(folder, data)
    if as_json:
        sys.stdout.write(json.dumps(as_document(lines), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines) + verdict(lines) + "\n")
    return ExitCode.DONE if all_passed(lines) else ExitCode.INTERNAL


def all_passed(lines: Sequence[Line]) -> bool:
    """Say whether this is a golden run."""
    return all(line.passed for line in lines)


def verdict(lines: Sequence[Line]) -> str:
    """Say it in one line."""
    passed = sum(line.passed for line in lines)
    return f"golden run: {'PASS' if all_passed(lines) else 'FAIL'} ({passed}/{len(lines)})"


def as_document(lines: Sequence[Line]) -> dict[str, object]:
    """Say it to a program."""
    return {"passed": all_passed(lines), "checks": [asdict(line) for line in lines]}

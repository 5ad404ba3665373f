"""`qlib-shadow adopt`: a workflow file of plain qrun as a template and a QlibShadowRun, in one file."""

from __future__ import annotations

import os
import re
import textwrap
from typing import TYPE_CHECKING, Any, Final, NoReturn

from qlib_shadow_runner.adopt.question import Adopted, adopt, name_for
from qlib_shadow_runner.adopt.read import read_original
from qlib_shadow_runner.adopt.report import RefusedError
from qlib_shadow_runner.adopt.write import manifest_text
from qlib_shadow_runner.cli.run_manifest import NAME, NAME_MAX
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.contract.escapes import in_one_line
from qlib_shadow_runner.errors import DISK_FULL, StageError, from_os_error
from qlib_shadow_runner.printing import print_error_text, print_json, print_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from qlib_shadow_runner.adopt.report import Note


WIDTH: Final = 100


def adopt_file(file: Path, output: Path | None, name: str | None, *, as_json: bool) -> int:
    """Write the manifest to stdout or a new file, and what became of each part to stderr."""
    adopted = _adopted(file, name or name_for("" if file.name == "stdin" else file.stem))
    text = manifest_text(adopted.name, adopted.template, adopted.spec, in_one_line(file.name))
    if output is not None:
        _write(output, text)
    if as_json:
        print_json(_as_document(adopted, output, text))
        return ExitCode.DONE
    if output is None:
        print_text(text)
    print_error_text(_report(adopted, file, output))
    return ExitCode.DONE


def _adopted(file: Path, name: str) -> Adopted:
    if len(name) > NAME_MAX or not re.fullmatch(NAME, name):
        _refuse(f'--name is "{name}"; it must be lower-case letters, digits, "-" and "."')
    try:
        return adopt(read_original(file, os.environ), name)
    except RefusedError as fault:
        _refuse(f"{file} {fault}")


def _refuse(sentence: str) -> NoReturn:
    raise StageError(Reason.INVALID_WORKFLOW, f"{sentence}. Nothing was written.")


def _write(output: Path, text: str) -> None:
    """Write a new file: one that is there may hold changes by hand."""
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _refuse(f"{output} is there already; remove it, or give another --output")
    except OSError as error:
        if error.errno in DISK_FULL:
            output.unlink(missing_ok=True)
            raise from_os_error(error, output) from error
        _refuse(f"{output} cannot be written: {error.strerror}")


def _as_document(adopted: Adopted, output: Path | None, text: str) -> dict[str, Any]:
    return {
        "name": adopted.name,
        "output": None if output is None else str(output),
        "manifest": text,
        "changed": _as_list(adopted.report.changed),
        "leftOut": _as_list(adopted.report.left_out),
    }


def _as_list(notes: Iterable[Note]) -> list[dict[str, str]]:
    return [{"place": note.place, "what": note.what} for note in notes]


def _wrapped(note: Note) -> str:
    text = f"{in_one_line(note.place)}: {in_one_line(note.what)}"
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)


def _report(adopted: Adopted, file: Path, output: Path | None) -> str:
    parts = [f"{in_one_line(str(file))} asks as QlibShadowRun {adopted.name}"]
    for title, notes in (
        ("written differently; the question is the same", adopted.report.changed),
        ("left out; figures may differ", adopted.report.left_out),
    ):
        if notes:
            parts += ["", title, *map(_wrapped, notes)]
    where = "-" if output is None else in_one_line(str(output))
    parts += ["", f"next: qlib-shadow run {where}, or kubectl apply -f {where}", ""]
    return "\n".join(parts)

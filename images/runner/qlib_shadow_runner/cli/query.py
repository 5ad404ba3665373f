"""`qlib-shadow query`: one question in SQL, answered as a table, as CSV or as JSON."""

from __future__ import annotations

import csv
import math
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.catalog.sql import QueryResult, run_query
from qlib_shadow_runner.catalog.update import read_catalog
from qlib_shadow_runner.cli.printing import print_json
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.runs.listing import existing_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

STDIN: Final = "-"
NOTHING: Final = "-"
"""How a table shows what is not there."""


def print_answer(sql: str, data: Path, form: str) -> int:
    """Answer the question in one of the FORMS."""
    volume = existing_volume(data)
    answer = run_query(volume, read_catalog(volume), sys.stdin.read() if sql == STDIN else sql)
    for path in answer.left_out:
        sys.stderr.write(f"note: {path} is missing or cut, so that its run has no signals here\n")
    FORMS[form](answer)
    return ExitCode.DONE


def _print_json(answer: QueryResult) -> None:
    twice = [name for name in answer.columns if list(answer.columns).count(name) > 1]
    if twice:
        raise StageError(
            Reason.INVALID_SPEC, f"two columns are called {twice[0]}; give one another name with AS"
        )
    rows = [list(map(_plain, row)) for row in answer.rows]
    print_json([dict(zip(answer.columns, row, strict=True)) for row in rows])


def _plain(value: Any) -> Any:
    """Give what JSON can say; what is no number is nothing."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return list(map(_plain, value))
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return value


def _print_csv(answer: QueryResult) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)


def _print_table(answer: QueryResult) -> None:
    rows = list(answer.rows)
    cells = [list(answer.columns), *(list(map(_shown, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [
        any(isinstance(row[place], int | float | Decimal) for row in rows) for place in range(len(widths))
    ]
    for line in cells:
        sys.stdout.write(_line(line, widths, right))


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    placed = zip(cells, widths, right, strict=True)
    shown = (cell.rjust(width) if number else cell.ljust(width) for cell, width, number in placed)
    return "  ".join(shown).rstrip() + "\n"


def _shown(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, float | Decimal):
        return f"{value:.6g}"
    return " ".join(str(value).split("\n"))


FORMS: Final[Mapping[str, Callable[[QueryResult], None]]] = {
    "table": _print_table,
    "csv": _print_csv,
    "json": _print_json,
}
"""How an answer may be printed."""

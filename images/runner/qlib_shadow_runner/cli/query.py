"""`qlib-shadow query`: print what one SQL query returns, as a table, as CSV or as JSON."""

from __future__ import annotations

import csv
import math
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.catalog.query import Answer, ask
from qlib_shadow_runner.catalog.update import look
from qlib_shadow_runner.cli.printing import NOTHING, print_json, print_table
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.runs.listing import existing_volume

if TYPE_CHECKING:
    from pathlib import Path

STDIN: Final = "-"


def print_answer(sql: str, data: Path, *, as_csv: bool, as_json: bool) -> int:
    """Print the rows that a query returns: as a table, unless another form is asked for."""
    volume = existing_volume(data)
    answer = ask(volume, look(volume), sys.stdin.read() if sql == STDIN else sql)
    for path in answer.left_out:
        sys.stderr.write(f"note: {path} is missing or incomplete, so its run has no signals here\n")
    (_print_json if as_json else _print_csv if as_csv else _print_table)(answer)
    return ExitCode.DONE


def _print_json(answer: Answer) -> None:
    twice = [name for name in answer.columns if list(answer.columns).count(name) > 1]
    if twice:
        raise StageError(
            Reason.INVALID_SPEC, f"two columns are called {twice[0]}; give one another name with AS"
        )
    rows = [list(map(_plain, row)) for row in answer.rows]
    print_json([dict(zip(answer.columns, row, strict=True)) for row in rows])


def _plain(value: Any) -> Any:
    """Return a value that JSON has; infinite numbers and NaN become null."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return list(map(_plain, value))
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return value


def _print_csv(answer: Answer) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)


def _print_table(answer: Answer) -> None:
    rows = list(answer.rows)
    numbers = {
        place for row in rows for place, value in enumerate(row) if isinstance(value, int | float | Decimal)
    }
    print_table([list(answer.columns), *(list(map(_cell, row)) for row in rows)], numbers)


def _cell(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, float | Decimal):
        return f"{value:.6g}"
    return " ".join(str(value).split("\n"))

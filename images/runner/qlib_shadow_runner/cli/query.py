"""`qlib-shadow query`: print what one SQL query returns, as a table, as CSV or as JSON."""

from __future__ import annotations

import math
import sys
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.catalog.sql import QueryResult, run_query
from qlib_shadow_runner.catalog.update import read_catalog
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import NOTHING, print_csv, print_error, print_json, print_table
from qlib_shadow_runner.runs.listing import existing_volume

if TYPE_CHECKING:
    from pathlib import Path

STDIN: Final = "-"


def print_answer(sql: str, data: Path, *, as_csv: bool, as_json: bool) -> int:
    """Print the rows that a query returns: as a table, unless another form is asked for."""
    volume = existing_volume(data)
    result = run_query(volume, read_catalog(volume), _stdin() if sql == STDIN else sql)
    for path, fault in result.left_out.items():
        print_error(f"note: {path} {fault}")
    (_print_json if as_json else _print_csv if as_csv else _print_table)(result)
    return ExitCode.DONE


def _stdin() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise StageError(Reason.INVALID_SPEC, "the query on stdin is not text") from error


def _print_json(result: QueryResult) -> None:
    twice = [name for name in result.columns if list(result.columns).count(name) > 1]
    if twice:
        raise StageError(
            Reason.INVALID_SPEC, f"two columns are called {twice[0]}; give one another name with AS"
        )
    rows = [list(map(_plain, row)) for row in result.rows]
    print_json([dict(zip(result.columns, row, strict=True)) for row in rows])


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


def _print_csv(result: QueryResult) -> None:
    print_csv(chain([result.columns], result.rows))


def _print_table(result: QueryResult) -> None:
    rows = list(result.rows)
    numbers = {
        place for row in rows for place, value in enumerate(row) if isinstance(value, int | float | Decimal)
    }
    print_table([list(result.columns), *(list(map(_cell, row)) for row in rows)], numbers)


def _cell(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, float | Decimal):
        return f"{value:.6g}"
    return " ".join(str(value).split("\n"))

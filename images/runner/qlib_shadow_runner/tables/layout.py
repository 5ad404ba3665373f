"""The tables of a run, and their columns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.kinds import LAST_DAY
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.pickles.files import (
    ACCOUNT,
    DRIFT,
    GAINS,
    IC,
    LABELS,
    LIVE,
    POSITIONS,
    PREDICTIONS,
    RANK_IC,
    RECORDED_IN,
    RISK,
    ROUNDS,
    SEGMENT_IC,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY: Final = pa.date32()
TEXT: Final = pa.string()
NUMBER: Final = pa.float64()
COUNT: Final = pa.int64()
EPOCH: Final = date(1970, 1, 1)
COLUMNS: Final[Mapping[str, pa.Schema]] = {
    PREDICTIONS: pa.schema([("date", DAY), ("instrument", TEXT), ("score", NUMBER)]),
    LIVE: pa.schema([("date", DAY), ("instrument", TEXT), ("score", NUMBER)]),
    LABELS: pa.schema([("date", DAY), ("instrument", TEXT), ("label", NUMBER)]),
    IC: pa.schema([("date", DAY), ("ic", NUMBER)]),
    RANK_IC: pa.schema([("date", DAY), ("rank_ic", NUMBER)]),
    ACCOUNT: pa.schema([("date", DAY)]),
    RISK: pa.schema([("group", TEXT), ("figure", TEXT), ("value", NUMBER)]),
    POSITIONS: pa.schema(
        [("date", DAY), ("instrument", TEXT), ("price", NUMBER), ("weight", NUMBER), ("amount", NUMBER)]
    ),
    GAINS: pa.schema([("feature", TEXT), ("gain", NUMBER)]),
    ROUNDS: pa.schema([("trained", COUNT), ("used", COUNT)]),
    SEGMENT_IC: pa.schema([("date", DAY), ("segment", TEXT), ("ic", NUMBER), ("rank_ic", NUMBER)]),
    DRIFT: pa.schema([("measure", TEXT), ("name", TEXT), ("value", NUMBER)]),
}
"""The columns of each table; the account has Qlib's columns of numbers after the day.

A day without holdings is a row of the positions without an instrument.
"""


@dataclass(frozen=True)
class Tables:
    """The tables of one run, as far as there are any."""

    found: Mapping[str, pa.Table]
    faults: Mapping[str, str]
    """The files that could not be read, and why."""

    def require(self, name: str) -> pa.Table:
        """Return a table without which there are no metrics and no signals."""
        table, file = self.found.get(name), RECORDED_IN[name]
        if table is None and file in self.faults:
            raise StageError(Reason.OUTPUT_INCOMPLETE, f"{file} {self.faults[file]}; see stdout.log.")
        if table is None:
            raise StageError(Reason.OUTPUT_INCOMPLETE, f"there is no table {name}: {self.all_faults}.")
        return table

    @property
    def all_faults(self) -> str:
        """Return what is wrong with each file."""
        return "; ".join(f"{file} {fault}" for file, fault in sorted(self.faults.items()))


def check_rows(name: str, table: pa.Table) -> None:
    """Raise ValueError where a row has no day or no name, or a day that no run has."""
    for field in table.schema:
        column = table[field.name]
        may_lack = field.type == NUMBER or (name, field.name) == (POSITIONS, "instrument")
        if column.null_count and not may_lack:
            raise ValueError(f"a row has no {field.name}")
        if field.type == DAY and len(column):
            check_days(*pc.min_max(column.cast(pa.int32())).as_py().values())


def check_days(first: int, last: int) -> None:
    """Raise ValueError unless days, counted from 1970, are those of runs."""
    if not 0 <= first <= last <= (LAST_DAY - EPOCH).days:  # no segment ends later
        raise ValueError(f"a row is of a day before {EPOCH.year} or after {LAST_DAY.year}")


def schema_of(name: str, columns: list[str]) -> pa.Schema:
    """Return the columns of a table, or raise ValueError where these are not its columns."""
    expected = COLUMNS[name]
    more = columns[len(expected) :] if name == ACCOUNT else []
    schema = pa.schema([*expected, *((column, NUMBER) for column in more)])
    if schema.names != columns or len(set(columns)) != len(columns):
        raise ValueError(f"the columns of the table {name} are not those that it has")
    return schema

"""The table of fields of `spec.dataset.source.prices`: the user's own files of daily bars."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract.fields import (
    Given,
    Record,
    Rule,
    defaulted,
    excludes,
    optional,
    required,
)
from qlib_shadow_runner.contract.kinds import Choice, ListOf, Text, TextCheck, matches
from qlib_shadow_runner.contract.spec.volume_paths import on_volume

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


SYMBOL: Final = Text(40)
COLUMN: Final = Text(128)
OWN_FIELDS: Final = ("open", "high", "low", "close", "volume", "vwap", "factor", "change")
"""The fields of a dataset that the conversion writes itself."""
FIELD: Final = Text(
    40,
    (
        matches(
            "[a-z][a-z0-9_]*",
            "must be made of lower-case letters, digits and _, and begin with a letter, because expressions "
            'name it as $field; it finds its column whatever the case, spaces and punctuation: "P/E" is pe',
        ),
        TextCheck(
            f"must not be one of {', '.join(OWN_FIELDS)}, which every dataset of prices has",
            lambda name: name not in OWN_FIELDS,
            f"!(self in {list(OWN_FIELDS)})",
        ),
    ),
)
UNIVERSE: Final = Text(
    40,
    (
        matches("[a-z0-9][a-z0-9_-]*", 'must be made of lower-case letters, digits, "_" and "-"'),
        TextCheck(
            "must not be all, which holds the benchmarks too", lambda name: name != "all", "self != 'all'"
        ),
    ),
)


class Adjust(StrEnum):
    """The origin of the adjustment for splits and dividends."""

    AUTO = "auto"
    FACTOR = "factor"
    ADJ_CLOSE = "adj_close"
    NONE = "none"


class Duplicates(StrEnum):
    """The treatment of a second row for one symbol and day."""

    REFUSE = "refuse"
    LAST = "last"


class BadRows(StrEnum):
    """The treatment of a bar with a price that is zero, negative or infinite."""

    REFUSE = "refuse"
    DROP = "drop"


@dataclass(frozen=True)
class Columns(Record):
    """The names of the columns in price files."""

    VERBATIM = True
    date: str | None = optional(COLUMN, "Column of the day.")
    symbol: str | None = optional(COLUMN, "Column of the instrument; files without one are named after it.")
    open: str | None = optional(COLUMN, "Column of the opening price.")
    high: str | None = optional(COLUMN, "Column of the highest price.")
    low: str | None = optional(COLUMN, "Column of the lowest price.")
    close: str | None = optional(COLUMN, "Column of the closing price.")
    volume: str | None = optional(COLUMN, "Column of the shares traded.")
    adj_close: str | None = optional(COLUMN, "Column of the adjusted closing price.")
    factor: str | None = optional(COLUMN, "Column of the adjustment factor.")
    vwap: str | None = optional(COLUMN, "Column of the volume-weighted average price.")
    extra: tuple[str, ...] | None = optional(
        ListOf(FIELD, 50, "names of columns of numbers, for example [pe, market_cap]"),
        "Other columns of numbers that become fields of the dataset, $pe in expressions. They are taken as "
        "they are; a day without a value has none.",
    )
    universes: tuple[str, ...] | None = optional(
        ListOf(UNIVERSE, 20, "names of columns of true and false, for example [sp500]"),
        "Columns that say whether a symbol belongs to a universe that day. Each becomes a universe of this "
        "name, which workflow.market can name.",
    )

    RULES = (
        Rule(
            "gives one column two meanings; name another",
            lambda values: _distinct([name for name in values.values() if isinstance(name, str)]),
        ),
        Rule(
            "has a name twice in extra or in universes; leave it once",
            lambda values: all(_distinct(values.get(name) or ()) for name in ("extra", "universes")),
        ),
    )


def _distinct(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names)


@dataclass(frozen=True)
class PricesSpec(Record):
    """Price files on the volume and how they are converted to daily bars."""

    path: str = required(
        on_volume("inbox/us_daily.parquet"),
        "A file or a folder of files on the volume: relative to it, such as inbox/us_daily.parquet, or as "
        "/data/inbox/us_daily.parquet.",
    )
    columns: Mapping[str, Any] = defaulted(
        Given(Columns), "What the files call their columns, where it cannot be seen from the names.", {}
    )
    timezone: str | None = optional(
        Text(
            64, (matches("[A-Za-z][A-Za-z0-9_+/-]*", "must be the name of a time zone, such as Asia/Tokyo"),)
        ),
        "Time zone of the market, such as Asia/Tokyo: the day of an instant in the files is the day there. "
        "Default: the time zone in the files; instants of UTC other than midnight are refused.",
    )
    adjust: Adjust = defaulted(
        Choice(Adjust), "Where the adjustment for splits and dividends comes from.", Adjust.AUTO
    )
    benchmark: str | None = optional(SYMBOL, "The symbol that is a benchmark and not traded.")
    benchmarks: tuple[str, ...] = defaulted(
        ListOf(SYMBOL, 100, "symbols, for example [SPY]"),
        "Several symbols that are benchmarks and not traded.",
        (),
    )
    universe: str = defaulted(
        UNIVERSE,
        "Name of the market made of all other symbols.",
        "tradable",
    )
    duplicates: Duplicates = defaulted(
        Choice(Duplicates), "What becomes of a second row for one symbol and day.", Duplicates.REFUSE
    )
    bad_rows: BadRows = defaulted(
        Choice(BadRows), "What becomes of a bar with an impossible price.", BadRows.REFUSE
    )

    RULES = (
        excludes("benchmark", "benchmarks", must="takes benchmark or benchmarks, not both; remove one"),
        Rule(
            "gives one name to universe and to one of columns.universes; write another universe",
            lambda values: values.get("universe", "tradable") not in values["columns"].get("universes", ()),
            "!has(self.columns) || !has(self.columns.universes) || "
            "!((has(self.universe) ? self.universe : 'tradable') in self.columns.universes)",
            ("columns",),
        ),
    )

    @property
    def roles(self) -> Mapping[str, str]:
        """Return the columns of bars, by role."""
        return {role: name for role, name in self.columns.items() if isinstance(name, str)}

    @property
    def extra(self) -> tuple[str, ...]:
        """Return the fields that are made of other columns."""
        return tuple(self.columns.get("extra", ()))

    @property
    def memberships(self) -> tuple[str, ...]:
        """Return the universes that are made of columns."""
        return tuple(self.columns.get("universes", ()))

    @property
    def indices(self) -> tuple[str, ...]:
        """Return the symbols that are benchmarks, from either field."""
        return self.benchmarks if self.benchmark is None else (self.benchmark,)

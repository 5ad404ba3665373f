"""The table of fields of `spec.dataset.source`: one class for each source of a dataset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import DEFAULT_DATA
from qlib_shadow_runner.contract.fields import (
    Given,
    Object,
    Reader,
    Record,
    Rule,
    between,
    defaulted,
    exactly_one,
    excludes,
    needs,
    optional,
    required,
)
from qlib_shadow_runner.contract.kinds import Choice, Day, ListOf, Text, TextCheck, Whole, matches
from qlib_shadow_runner.contract.urls import url

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


def _on_volume(example: str) -> Text:
    """Return the kind of a path on the volume, which is always read as an absolute path below /data."""
    return Text(
        512,
        (
            TextCheck(
                f'must lie on the volume, without "..": relative to it, such as {example}, '
                f"or as {DEFAULT_DATA}/{example}",
                lambda path: _lies_on_volume(path, PurePosixPath(DEFAULT_DATA, path).parts),
                "!self.split('/').exists(part, part == '..') && "
                f"(!self.startsWith('/') || self.startsWith('{DEFAULT_DATA}/'))",
            ),
        ),
        clean=lambda path: str(PurePosixPath(DEFAULT_DATA, path)),
    )


def _lies_on_volume(path: str, parts: tuple[str, ...]) -> bool:
    inside = parts[:2] == ("/", DEFAULT_DATA[1:]) and len(parts) > 2  # noqa: PLR2004 - /, data, something
    return inside and ".." not in parts and "\0" not in path


@dataclass(frozen=True)
class SyntheticSpec(Record):
    """The size and the seed of a made-up market."""

    seed: int = defaulted(Whole(0, 2**32 - 1), "Seed of the market.", 7)
    symbols: int = defaulted(Whole(10, 999), "How many instruments.", 60)
    start: date = defaulted(Day(date(1990, 1, 1), date(2099, 12, 31)), "First day.", date(2019, 1, 2))
    days: int = defaulted(Whole(250, 10_000), "How many trading days.", 1512)
    years: int | None = optional(Whole(1, 39), "How many years of 252 trading days, instead of days.")
    until: date | None = optional(
        Day(date(1990, 1, 1), date(2099, 12, 31)),
        "The last day that is delivered of the market; a later one adds days and changes none. Default: all.",
    )

    RULES = (
        excludes("days", "years", must="takes days or years, not both; remove one"),
        between(
            *("start", "until"),
            must="must have an until after start; correct one",
            holds=lambda start, until: start < until,
            cel="self.start < self.until",
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
        _on_volume("inbox/us_daily.parquet"),
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


@dataclass(frozen=True)
class ArchiveSpec(Record):
    """An archive at a URL with its checksum, or at a path on the volume."""

    url: str | None = optional(url(), "Where the file is fetched from.")
    path: str | None = optional(
        _on_volume("inbox/us.zip"),
        "The file on the volume: relative to it, such as inbox/us.zip, or as /data/inbox/us.zip.",
    )
    sha256: str | None = optional(
        Text(
            71,
            (
                matches(
                    "(sha256:)?[0-9a-fA-F]{64}", "must be 64 hexadecimal digits, as sha256sum prints them"
                ),
            ),
            clean=lambda digest: digest.lower().removeprefix("sha256:"),
        ),
        "Checksum of the file, as sha256sum prints it; needed with a url.",
    )
    credentials_secret: str | None = optional(
        Text(253),
        "Secret in the run's namespace with either token, or username and password, for the url.",
        reader=Reader.OPERATOR,
    )

    RULES = (
        exactly_one(
            *("url", "path"),
            must="must have one of url (https://…) and path (on the volume, such as inbox/us.zip)",
        ),
        needs(
            *("url", "sha256"),
            must="needs sha256 with a url: it is what the file is held to (sha256sum prints it)",
        ),
    )


@dataclass(frozen=True)
class QlibSpec(Record):
    """One of Qlib's public datasets and optionally the mirror that it comes from."""

    region: str = defaulted(Choice(("us", "cn")), "Which market.", "us")
    interval: str = defaulted(Choice(("1d",)), "Bar length.", "1d")
    version: str = defaulted(
        Text(16, (matches("v[0-9]{1,3}", "must be v and a number, such as v2"),)),
        "Version of the dataset.",
        "v2",
    )
    url: str | None = optional(
        url(
            TextCheck(
                "must be the base of a mirror, without ? and #", lambda base: not re.search("[?#]", base)
            ),
            clean=lambda base: base.rstrip("/"),
        ),
        "Base of a mirror. Default: the dataset's home.",
    )


@dataclass(frozen=True)
class ExistingSpec(Record):
    """A dataset that is already on the volume; it has no fields."""


@dataclass(frozen=True)
class SourceSpec(Record):
    """The source of a dataset."""

    synthetic: SyntheticSpec | None = optional(
        Object(SyntheticSpec),
        "Made-up prices, the same ones from the same parameters everywhere; for demos and tests.",
    )
    prices: PricesSpec | None = optional(
        Object(PricesSpec), "Your own daily bars, as Parquet or CSV files on the volume."
    )
    archive: ArchiveSpec | None = optional(
        Object(ArchiveSpec), "A file that holds a dataset, fetched by https or taken from the volume."
    )
    qlib: QlibSpec | None = optional(
        Object(QlibSpec), "The public dataset of Qlib's documentation, which ends in November 2020."
    )
    existing: ExistingSpec | None = optional(
        Object(ExistingSpec),
        "The dataset that a user has put at dataset.path. Written as existing, with {} as its value.",
    )

    RULES = (
        exactly_one(
            *("synthetic", "prices", "archive", "qlib", "existing"),
            must="must name exactly one of synthetic, prices, archive, qlib and existing; to use two, write "
            "two runs with different dataset.path",
        ),
    )

    def allows_region(self, region: str) -> bool:
        """Return whether a dataset from this source can be of a region."""
        if self.qlib is None:
            return True
        return self.qlib.region == region if "region" in self.qlib.given else region in {"us", "cn"}

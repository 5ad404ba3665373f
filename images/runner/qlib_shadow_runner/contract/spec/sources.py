"""The table of fields of `spec.dataset.source`: one class for each source of a dataset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from qlib_shadow_runner.contract.fields import (
    Object,
    Reader,
    Record,
    between,
    defaulted,
    exactly_one,
    excludes,
    needs,
    optional,
)
from qlib_shadow_runner.contract.kinds import Choice, Day, Text, TextCheck, Whole, matches
from qlib_shadow_runner.contract.spec.price_files import PricesSpec
from qlib_shadow_runner.contract.spec.volume_paths import on_volume
from qlib_shadow_runner.contract.urls import url


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


@dataclass(frozen=True)
class ArchiveSpec(Record):
    """An archive at a URL with its checksum, or at a path on the volume."""

    url: str | None = optional(
        url(),
        "Where the file is fetched from.",
        reader=Reader.BOTH,
    )
    path: str | None = optional(
        on_volume("inbox/us.zip"),
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

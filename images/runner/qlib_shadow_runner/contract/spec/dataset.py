"""spec.dataset: which data, and how fresh."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import DEFAULT_DATASET_PATH, SHORT_FINGERPRINT
from qlib_shadow_runner.contract.fields import (
    Object,
    Record,
    Rule,
    between,
    defaulted,
    excludes,
    optional,
    part,
    required,
)
from qlib_shadow_runner.contract.kinds import Choice, Day, ListOf, Text, TextCheck, Whole, matches
from qlib_shadow_runner.contract.spec.sources import SourceSpec

if TYPE_CHECKING:
    from datetime import date

REGIONS: Final = ("us", "cn", "tw")
"""The regions whose trading rules Qlib knows."""


CHECKS: Final = (
    *("calendar_order", "bin_bounds", "invalid_prices", "no_prices", "weekend_days", "missing_days"),
    *("missing_values", "high_low", "split_jumps", "unadjusted", "partial_end", "duplicate_rows"),
    *("rejected_rows", "stale_end"),
)
"""The names of the checks in dataset/quality."""


ALWAYS_BLOCKING: Final = ("calendar_order", "bin_bounds", "invalid_prices")
"""The checks whose findings end a run in any case and cannot be waived."""


WAIVED_WHOLE: Final = ("duplicate_rows", "rejected_rows", "stale_end")
"""The checks whose findings have no places, so that a waiver is of all of them."""


EVERYTHING: Final = "all"


VERSION: Final = rf"[0-9a-f]{{{SHORT_FINGERPRINT},64}}"


FINGERPRINT: Final = (
    'the fingerprint of a version, 12 to 64 of the digits 0-9 and a-f in quotes, such as "808737d06485"'
)


NOT_WITH_VERSION: Final = ("source", "refresh", "quality", "maxAgeDays")
"""The fields that select or check data; a version already fixes all of that."""


class Refresh(StrEnum):
    """When a dataset is built although one exists."""

    IF_MISSING = "IfMissing"
    ALWAYS = "Always"
    NEVER = "Never"


@dataclass(frozen=True)
class WaiverSpec(Record):
    """One finding that is known and accepted, with the reason."""

    finding: str = required(
        Choice([name for name in CHECKS if name not in ALWAYS_BLOCKING]), "Name of the check that found it."
    )
    why: str = required(Text(200), "Why it is no fault. The run's metadata and report repeat it.")
    instrument: str | None = optional(Text(40), "Only of this instrument. Default: of every one.")
    day: date | None = optional(Day(), "Only of this day. Default: of every day.")

    RULES = (
        Rule(
            f"takes neither instrument nor day for {', '.join(WAIVED_WHOLE)}; leave them out",
            lambda values: values["finding"] not in WAIVED_WHOLE or not values.keys() & {"instrument", "day"},
            f"!(self.finding in {list(WAIVED_WHOLE)}) || (!has(self.instrument) && !has(self.day))",
            ("finding",),
        ),
    )


@dataclass(frozen=True)
class QualitySpec(Record):
    """The findings that end a run, and those that are accepted."""

    block: tuple[str, ...] = defaulted(
        ListOf(
            Choice((*CHECKS, EVERYTHING)),
            16,
            f"checks, such as [split_jumps, missing_days], or [{EVERYTHING}]",
        ),
        f"Names of checks, as the manifest lists them, or {EVERYTHING}.",
        (),
    )
    waive: tuple[WaiverSpec, ...] = defaulted(
        ListOf(
            Object(WaiverSpec),
            50,
            "findings, for example [{finding: split_jumps, instrument: AAPL, day: 2000-09-29, why: it fell}]",
        ),
        "Findings that are known and accepted: they neither warn nor block, and stay on record.",
        (),
    )


@dataclass(frozen=True)
class DatasetFields(Record):
    """The dataset of a run and how recent it must be."""

    path: str = defaulted(
        Text(
            200,
            (
                matches(
                    "/data(/[A-Za-z0-9_][A-Za-z0-9._-]*)+",
                    'must lie under /data, of letters, digits, ".", "_" and "-", '
                    f"for example {DEFAULT_DATASET_PATH}",
                ),
                TextCheck(
                    "must not lie in /data/artifacts, where runs write their results; "
                    f"use for example {DEFAULT_DATASET_PATH}",
                    lambda path: not f"{path}/".startswith("/data/artifacts/"),
                    "!(self + '/').startsWith('/data/artifacts/')",
                ),
            ),
        ),
        "Where the dataset is on the volume: a folder with calendars/, features/ and instruments/.",
        DEFAULT_DATASET_PATH,
    )
    version: str | None = optional(
        Text(
            64,
            (matches(VERSION, f"must be {FINGERPRINT}"),),
            words=FINGERPRINT,
        ),
        "Fingerprint of a version of the dataset that is on the volume, or its first 12 or more digits: the "
        "run takes exactly this one and has no download stage. It takes the place of "
        f"{', '.join(NOT_WITH_VERSION[:-1])} and {NOT_WITH_VERSION[-1]}.",
    )
    region: str = defaulted(Choice(REGIONS), "Qlib's region, which decides trading rules and limits.", "us")
    interval: str = defaulted(Choice(("1d",)), "Bar length.", "1d")
    refresh: Refresh = defaulted(
        Choice(Refresh),
        "When a dataset is built although one is there. Never takes what is there, or fails.",
        Refresh.IF_MISSING,
    )
    quality: QualitySpec = part(
        QualitySpec,
        "Which findings about the data end a run, and which are accepted. Those that would make figures "
        "wrong without a sign always end it; the others warn unless they are named here.",
    )
    max_age_days: int | None = optional(
        Whole(0, 100_000),
        "Refuse a dataset whose last day is older than this many days. Default: any age is taken.",
    )
    sources: SourceSpec | None = optional(
        Object(SourceSpec),
        "Where the dataset comes from: exactly one of the fields. Default: existing.",
        key="source",
    )

    RULES = (
        *(
            excludes(
                "version",
                name,
                must=f"cannot have {name} beside version, which names data that is there already; "
                "remove one of the two",
            )
            for name in NOT_WITH_VERSION
        ),
        between(
            *("region", "source"),
            must="must have a region that source.qlib has, us or cn, and the same where both are written; "
            "write one of them",
            holds=lambda region, source: source.allows_region(region),
            cel="!has(self.source.qlib) || (has(self.source.qlib.region) ? self.region == "
            "self.source.qlib.region : self.region in ['us', 'cn'])",
        ),
    )

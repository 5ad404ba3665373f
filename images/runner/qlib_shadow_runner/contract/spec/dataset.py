"""The table of fields of `spec.dataset`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from qlib_shadow_runner.contract import DEFAULT_DATASET_PATH, SHORT_FINGERPRINT
from qlib_shadow_runner.contract.fields import Object, Record, between, defaulted, excludes, optional, part
from qlib_shadow_runner.contract.kinds import Check, Choice, Listed, Text, Whole, matches
from qlib_shadow_runner.contract.spec.sources import SourceSpec

REGIONS: Final = ("us", "cn", "tw")
"""What Qlib knows trading rules for."""
CHECKS: Final = (
    *("calendar_order", "bin_bounds", "invalid_prices", "missing_days", "high_low", "split_jumps"),
    *("partial_end", "duplicate_rows", "rejected_rows", "stale_end"),
)
"""What can be found about a dataset: see dataset/quality."""
EVERYTHING: Final = "all"


class Refresh(StrEnum):
    """When a dataset is built although one is there."""

    IF_MISSING = "IfMissing"
    ALWAYS = "Always"
    NEVER = "Never"


@dataclass(frozen=True)
class QualitySpec(Record):
    """Which findings end a run."""

    block: tuple[str, ...] = defaulted(
        Listed(
            Choice((*CHECKS, EVERYTHING)),
            16,
            f"checks, such as [split_jumps, missing_days], or [{EVERYTHING}]",
        ),
        f"Names of checks, as the manifest lists them, or {EVERYTHING}.",
        (),
    )


@dataclass(frozen=True)
class DatasetFields(Record):
    """Which data, and how fresh."""

    path: str = defaulted(
        Text(
            200,
            matches(
                "/data(/[A-Za-z0-9_][A-Za-z0-9._-]*)+",
                'must lie under /data, of letters, digits, ".", "_" and "-", '
                f"for example {DEFAULT_DATASET_PATH}",
            ),
            Check(
                "must not lie in /data/artifacts, where runs write their results; "
                f"use for example {DEFAULT_DATASET_PATH}",
                lambda path: not f"{path}/".startswith("/data/artifacts/"),
                "!(self + '/').startsWith('/data/artifacts/')",
            ),
        ),
        "Where the dataset is on the volume: a folder with calendars/, features/ and instruments/.",
        DEFAULT_DATASET_PATH,
    )
    version: str | None = optional(
        Text(
            64,
            matches(
                f"[0-9a-f]{{{SHORT_FINGERPRINT},64}}",
                "must be the fingerprint of a version, 12 to 64 of the digits 0-9 and a-f in quotes, "
                'such as "808737d06485"',
            ),
        ),
        "Fingerprint of a version of the dataset that is on the volume, or its first 12 or more digits: the "
        "run takes exactly this one and has no download stage. It takes the place of source, refresh, "
        "quality and maxAgeDays.",
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
        "Which findings about the data end a run. Those that would make figures wrong without a sign always "
        "do; the others warn unless they are named here.",
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
                *("version", name),
                must=f"takes no {name} beside version, which names data that is there already; remove one",
            )
            for name in ("source", "refresh", "quality", "maxAgeDays")
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

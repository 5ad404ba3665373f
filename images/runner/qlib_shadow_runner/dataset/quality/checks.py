"""The quality checks by name: what each finds, its reason code and its remedy."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """The state of a check; `fail` means that the policy blocks it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class CheckKind(StrEnum):
    """The origin of a fault: the conversion to Qlib's layout, or the data's source."""

    ENGINEERING = "engineering"
    SOURCE = "source"


@dataclass(frozen=True)
class QualityCheck:
    """The description of one check."""

    kind: CheckKind
    reason: str
    """The reason code for programs."""
    finds: str
    hint: str


RULES: Final[dict[str, QualityCheck]] = {
    "calendar_order": QualityCheck(
        CheckKind.ENGINEERING,
        "CalendarNotSorted",
        "days of the calendar that are not after the day before them",
        "Sort calendars/day.txt and leave each day once; build the dataset again.",
    ),
    "bin_bounds": QualityCheck(
        CheckKind.ENGINEERING,
        "BinOutsideCalendar",
        "bin files that are not float32, or reach past the calendar",
        "Build the dataset again from its source.",
    ),
    "invalid_prices": QualityCheck(
        CheckKind.ENGINEERING,
        "InvalidPrices",
        "prices that are zero, negative or infinite",
        "Correct them at the source, or leave these bars out.",
    ),
    "missing_days": QualityCheck(
        CheckKind.SOURCE,
        "MissingDays",
        "instruments that lack more than a twentieth of the trading days between their first and last bar",
        "Ask the source for the missing days; a model sees them as gaps.",
    ),
    "high_low": QualityCheck(
        CheckKind.SOURCE,
        "HighLowInconsistent",
        "bars whose high lies below, or whose low lies above, another price of the day",
        "Compare these bars with the source; an adjustment may have reached only some of the columns.",
    ),
    "split_jumps": QualityCheck(
        CheckKind.SOURCE,
        "UnadjustedSplits",
        "closes that moved by a whole multiple while the factor stayed: unadjusted splits",
        "Deliver adj_close or factor with the prices, or adjusted prices.",
    ),
    "partial_end": QualityCheck(
        CheckKind.SOURCE,
        "PartialLastDay",
        "instruments that end before the last day, where many end in the same week",
        "Their prices look half delivered: fetch them again when they are complete.",
    ),
    "duplicate_rows": QualityCheck(
        CheckKind.SOURCE,
        "DuplicateRows",
        "rows that had the same symbol and day as another, of which the last was kept",
        "Deliver one row for each symbol and day.",
    ),
    "rejected_rows": QualityCheck(
        CheckKind.SOURCE,
        "RejectedRows",
        "rows that were left out for an impossible price or volume",
        "Correct these rows at the source.",
    ),
    "stale_end": QualityCheck(
        CheckKind.SOURCE,
        "StaleData",
        "days since the last bar, where they are more than ten, or the last bar lies in the future",
        "Bring newer data, or set in maxAgeDays how old it may be.",
    ),
}
STRUCTURAL: Final = tuple(name for name, rule in RULES.items() if rule.kind is CheckKind.ENGINEERING)
"""The checks that always block a run, because such faults make figures wrong without any other sign."""
EXAMPLES: Final = 5


@dataclass(frozen=True)
class Finding:
    """The count of one check with the first few examples."""

    name: str
    count: int
    examples: list[str] = field(default_factory=list)

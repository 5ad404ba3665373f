"""The quality checks by name: what each finds, its reason code and its remedy."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple


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
    "no_prices": QualityCheck(
        CheckKind.SOURCE,
        "ListedWithoutPrices",
        "instruments that a list names and that have no close in features/",
        "Qlib leaves them out. If there are many, files may be missing: compare them with the source.",
    ),
    "weekend_days": QualityCheck(
        CheckKind.SOURCE,
        "WeekendInCalendar",
        "Saturdays and Sundays in the calendar of a market that does not trade on every day of the week",
        "A time zone may have moved the days: write source.prices.timezone. For a market that trades on "
        "weekends, waive the finding.",
    ),
    "missing_days": QualityCheck(
        CheckKind.SOURCE,
        "MissingDays",
        "instruments that lack more than a twentieth of the trading days between their first and last bar",
        "Ask the source for the missing days; a model sees them as gaps.",
    ),
    "missing_values": QualityCheck(
        CheckKind.SOURCE,
        "MissingValues",
        "fields of instruments that lack a value on more than a twentieth of the days with a close",
        "Ask the source for the missing values, or leave the instrument out; a model sees them as gaps.",
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
        "Deliver adj_close or factor with the prices, or adjusted prices; waive the finding for a real move.",
    ),
    "unadjusted": QualityCheck(
        CheckKind.SOURCE,
        "UnadjustedInstruments",
        "instruments without any adj_close or factor beside others that have it",
        "Deliver it for them too, with the close itself where nothing is to be adjusted.",
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


class Place(NamedTuple):
    """Where an occurrence of a finding is; empty where that has no meaning."""

    instrument: str = ""
    day: str = ""


PLACES: Final = 1000
"""The most places of one finding that a manifest records."""


@dataclass(frozen=True)
class Finding:
    """The count of one check with the first few examples, and the places of the first ones."""

    name: str
    count: int
    examples: list[str] = field(default_factory=list)
    places: list[Place] = field(default_factory=list, compare=False)
    """The places of the occurrences in their order, so that those of the examples come first."""

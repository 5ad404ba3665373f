"""What a run may say about its prices; standard library only, since the spec is parsed everywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_UNIVERSE: Final = "tradable"


class Adjust(StrEnum):
    """Where the adjustment for splits and dividends comes from."""

    AUTO = "auto"
    FACTOR = "factor"
    ADJ_CLOSE = "adj_close"
    NONE = "none"


class Duplicates(StrEnum):
    """What becomes of a second row for one symbol and day."""

    REFUSE = "refuse"
    LAST = "last"


class BadRows(StrEnum):
    """What becomes of a bar with a price of zero or less, or an infinite one."""

    REFUSE = "refuse"
    DROP = "drop"


@dataclass(frozen=True)
class Options:
    """How files become bars."""

    columns: Mapping[str, str] = field(default_factory=dict)
    adjust: Adjust = Adjust.AUTO
    benchmarks: tuple[str, ...] = ()
    universe: str = DEFAULT_UNIVERSE
    duplicates: Duplicates = Duplicates.REFUSE
    bad_rows: BadRows = BadRows.REFUSE

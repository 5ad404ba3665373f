"""Values of another run's JSON, read by type; None where the type is wrong."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.contract.kinds import FIRST_DAY, LAST_DAY

if TYPE_CHECKING:
    from collections.abc import Mapping


def text(value: object) -> str | None:
    """Return a text."""
    return value if isinstance(value, str) else None


def mapping(value: object) -> Mapping[str, Any]:
    """Return an object; of anything else an empty one."""
    return value if isinstance(value, dict) else {}


def whole(value: object) -> int | None:
    """Return a whole number of 64 bits."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else None


def flag(value: object) -> bool | None:
    """Return a boolean."""
    return value if isinstance(value, bool) else None


def number(value: object) -> float | None:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def day(value: object) -> date | None:
    """Return the day of an ISO date, if a dataset can have it."""
    try:
        found = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found and FIRST_DAY <= found <= LAST_DAY else None


def moment(value: object) -> datetime | None:
    """Return an ISO time in UTC, without a time zone, so that SQL can compare it with dates and literals."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if found is None or found.tzinfo is None:
        return found
    try:
        return found.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        return None

"""The rows of the tables on the page of a book."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OrderRow:
    """An order of the last decision."""

    instrument: str
    side: str
    shares: float | None
    price: float | None
    """Of one raw share, at the decision."""
    value: float | None
    weight: float | None
    """The value as a share of the account."""
    id: str


@dataclass(frozen=True)
class FigureRow:
    """A figure of the account after the orders."""

    name: str
    figure: float | None
    limit: float | None
    is_asked: bool
    """Whether a gate asked for the limit that is set."""
    form: str
    """How figure and limit are written: percent or count."""


@dataclass(frozen=True)
class PositionRow:
    """A holding at the end of the last day."""

    instrument: str
    weight: float | None
    value: float | None
    shares: float | None
    price: float | None
    """Of one raw share."""
    days: float | None
    stale: str | None
    """The day of its last price, where that is not the last day."""


@dataclass(frozen=True)
class UnfilledRow:
    """An order that was not filled, or not wholly."""

    instrument: str
    side: str
    shares: float | None
    why: str


@dataclass(frozen=True)
class NightRow:
    """A recorded decision, or a trading day on which none was made."""

    day: str
    decision: str
    nav: float | None
    late: bool = False
    orders: int | None = None
    turnover: float | None = None
    closed: str = ""
    """The names of its closed gates."""
    run: str = ""


@dataclass(frozen=True)
class EraRow:
    """From when on which rules held."""

    number: str
    since: str
    rules_sha256: str
    changes: tuple[str, ...]
    """What changed against the rules before, by the names of the spec."""

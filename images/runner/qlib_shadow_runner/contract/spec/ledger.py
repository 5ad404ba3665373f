"""spec.ledger: the paper account that records what the signals would have done. Nothing is ever traded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from qlib_shadow_runner.contract.fields import Record, defaulted, optional, part, required
from qlib_shadow_runner.contract.kinds import Choice, Flag, Number, Text, Whole, matches
from qlib_shadow_runner.contract.spec.workflow import NDROP_WITHIN_TOPK

BOOK_NAME: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
BOOK: Final = Text(
    52,
    (
        matches(
            BOOK_NAME,
            'must be lower-case letters, digits and "-", and begin and end with a letter or digit, for '
            "example us-shadow",
        ),
    ),
)
DECIDE_BEFORE: Final = r"([01][0-9]|2[0-3]):([0-5][0-9]) ([A-Za-z_]+(?:/[A-Za-z0-9_+-]+)*)"
"""A time of day and its time zone."""


class Weights(StrEnum):
    """How the money is divided among the chosen instruments."""

    EQUAL = "equal"
    SCORE = "score"
    INVERSE_VOL = "inverseVol"


class FillAt(StrEnum):
    """The price of the next trading day at which orders are filled."""

    CLOSE = "close"
    OPEN = "open"


class Unfilled(StrEnum):
    """What becomes of an order whose instrument has no price on its day."""

    DROP = "Drop"
    CARRY = "Carry"


class Delisted(StrEnum):
    """What becomes of a holding whose instrument has no prices any more."""

    HOLD = "Hold"
    LAST_PRICE = "LastPrice"
    ZERO = "Zero"


class Calibrated(StrEnum):
    """Whether a gate asks for the calibrated verdict of a run; a word such as Off would be false in YAML."""

    CALIBRATED = "Calibrated"
    IGNORED = "Ignored"


@dataclass(frozen=True)
class LedgerTargets(Record):
    """Which instruments are wanted, and how much of each."""

    topk: int | None = optional(
        Whole(1, 10_000), "How many instruments are held. Default: as in the run's backtest."
    )
    n_drop: int | None = optional(
        Whole(0, 10_000), "How many are replaced a day, at most. Default: as in the run's backtest."
    )
    weights: Weights | None = optional(
        Choice(Weights),
        "How the money is divided each day: equal, score (by expected return) or inverseVol (by the inverse "
        "of the last 60 days' volatility). Default: as the backtest does it, in equal parts when an "
        "instrument is bought, and not again.",
    )

    RULES = (NDROP_WITHIN_TOPK,)


@dataclass(frozen=True)
class LedgerFill(Record):
    """The prices at which orders on paper are filled."""

    at: FillAt = defaulted(Choice(FillAt), "Price of the next trading day.", FillAt.CLOSE)
    slippage_bps: float = defaulted(
        Number(0, 1000), "How much worse than that price, in hundredths of a percent.", 0.0
    )
    unfilled: Unfilled = defaulted(
        Choice(Unfilled),
        "What becomes of an order whose instrument cannot be traded on its day: Drop, or Carry to the next "
        "trading day until a new decision; a held night is none.",
        Unfilled.DROP,
    )
    delisted: Delisted = defaulted(
        Choice(Delisted),
        "What becomes of a holding that has had no price for ten trading days: Hold it at its last price, as "
        "the backtest does, end it at its LastPrice, or at Zero.",
        Delisted.HOLD,
    )
    slices: int = defaulted(
        Whole(1, 100),
        "How many equal slices over the session the plan of an order has. The plan is recorded; fills are at "
        "the one price above.",
        1,
    )


@dataclass(frozen=True)
class LedgerLimits(Record):
    """What the orders of a day may not exceed; a day that would is held."""

    max_weight: float | None = optional(
        Number(0.0001, 1),
        "Most of the account in an instrument that is bought, after the orders. Default: any.",
    )
    max_turnover: float | None = optional(
        Number(0.0001, 2),
        "Most that is bought and sold, as a share of the account; not asked while the book holds nothing. "
        "Default: any.",
    )
    min_names: int | None = optional(Whole(1, 10_000), "Fewest instruments after the orders. Default: any.")
    max_gross: float | None = defaulted(
        Number(0.01, 1), "Most of the account in instruments after the orders.", 1.0
    )
    max_participation: float | None = optional(
        Number(0.000001, 1), "Most of an instrument's volume of the day of the decision. Default: any."
    )


@dataclass(frozen=True)
class LedgerGates(Record):
    """What must hold before orders are recorded; a day on which one does not is held."""

    max_data_age_days: int | None = defaulted(
        Whole(0, 1000), "Most sessions of the exchange between the last day of data and today.", 4
    )
    max_model_age_days: int | None = optional(
        Whole(1, 2000), "Most trading days since the model was trained. Default: any."
    )
    live_ic: Calibrated = defaulted(
        Choice(Calibrated),
        "Calibrated holds the day while the model's live IC has decayed; while too few days are judged, the "
        "gate is open and says so. Ignored does not ask.",
        Calibrated.CALIBRATED,
    )
    drift: Calibrated = defaulted(
        Choice(Calibrated),
        "Calibrated holds the day while features or scores drift; Ignored does not ask.",
        Calibrated.CALIBRATED,
    )
    golden: bool = defaulted(
        Flag(),
        "Whether the run must pass the checks of a golden run.",
        True,  # noqa: FBT003 - the value
    )
    min_coverage: float | None = defaulted(
        Number(0, 1), "Least share of the universe's traded instruments that have a signal.", 0.8
    )
    max_drawdown: float | None = optional(
        Number(0.001, 1), "Loss since the highest value after which only sales are recorded. Default: any."
    )
    max_daily_loss: float | None = optional(
        Number(0.001, 1),
        "Loss of a day since the last decision after which only sales are recorded. Default: any.",
    )


@dataclass(frozen=True)
class LedgerSpec(Record):
    """The paper account of a run: nothing is traded, what would have been done is recorded."""

    book: str = required(BOOK, "Name of the paper account on the volume.")
    capital: float | None = optional(
        Number(1, 1e15),
        "Paper money at the start; a book keeps the capital with which it began. Default: the book's share "
        "in the volume's portfolio file.",
    )
    targets: LedgerTargets = part(LedgerTargets, "Which instruments are wanted, and how much of each.")
    fill: LedgerFill = part(LedgerFill, "The prices at which orders on paper are filled.")
    decide_before: str | None = optional(
        Text(
            64,
            (
                matches(
                    DECIDE_BEFORE,
                    'must be a time of day and a time zone, for example "09:00 America/New_York"',
                ),
            ),
        ),
        "Time of the next trading day after which a decision is Late: it is recorded and never filled. "
        "Default: the moment of the price at which the orders fill.",
    )
    calendar: str | None = optional(
        Text(16, (matches("[A-Z0-9_]+", "must be the code of an exchange, for example XNYS"),)),
        "Exchange whose sessions and holidays count, by its ISO code. Default: that of the dataset's region, "
        "XNYS, XSHG or XTAI.",
    )
    limits: LedgerLimits = part(LedgerLimits, "What the orders of a day may not exceed.")
    gates: LedgerGates = part(LedgerGates, "What must hold before orders are recorded.")


def parts_of_deadline(text: str) -> tuple[int, int, str]:
    """Return hour, minute and time zone of `decideBefore`."""
    found = re.fullmatch(DECIDE_BEFORE, text)
    assert found is not None, "it was checked"
    return int(found[1]), int(found[2]), found[3]


CALENDARS: Final = {"us": "XNYS", "cn": "XSHG", "tw": "XTAI"}
"""The exchange of each region."""

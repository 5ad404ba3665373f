"""The days of train, valid and test, computed from the calendar."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NoReturn

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.workflow import Segments, Window
from qlib_shadow_runner.dataset.qlib_layout import CALENDAR
from qlib_shadow_runner.discovery.reach import ALPHA158, Reach
from qlib_shadow_runner.discovery.windows import DEFAULT, count_back, describe, is_long
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from qlib_shadow_runner.discovery.traded_days import TradedDays


AUTO: Final = "auto"
TRAIN_SHARE: Final = 0.60
VALID_SHARE: Final = 0.15
SHARES: Final = "60%, 15% and the rest"
WEEK: Final = 5
"""Trading days."""
SHORTEST: Final = {"train": 120, "valid": 20, "test": 20}


@dataclass(frozen=True)
class SegmentPlan:
    """The segments in trading days, and the backtest within the test segment."""

    segments: Segments
    backtest: tuple[date, date]
    counts: dict[str, int]
    chosen_by: str
    """The field of the spec that asks for them, or auto."""
    rule: str
    """How they were made, for people."""
    caveats: tuple[str, ...] = ()


def plan_segments(
    calendar: Sequence[date],
    wanted: Segments | Window | None,
    where: str,
    reach: Reach = ALPHA158,
    traded: TradedDays | None = None,
) -> SegmentPlan:
    """Return the segments that the spec asks for, or divide the days on which the universe trades.

    Train begins where the features' longest window is filled. Between segments lie as many days as the label
    looks ahead, because otherwise training would see prices that validation must predict.
    """
    days = calendar if traded is None else traded.days
    alone = f" on which {traded.market} trades" if traded is not None and len(days) < len(calendar) else ""
    have = f"{len(days)} days{alone}"
    if isinstance(wanted, Segments):
        asked, rule = "segments", "the days of the manifest"
        segments = _snap(calendar, _closed(calendar, wanted, days, reach))
    elif wanted is not None or is_long(days):
        window = wanted or DEFAULT
        asked, rule = "window" if wanted else AUTO, describe(window, days[-1])
        segments = count_back(days, window, reach)
    else:
        asked, rule = AUTO, f"{SHARES} of {have}, which are fewer than eight years"
        segments = _divide(days, where, have, reach)
    counts = {name: _count(calendar, getattr(segments, name)) for name in SHORTEST}
    _check_lengths(counts, have, where, asked)
    if asked == "segments" and traded is not None:
        _check_trading(segments, traded)
    return SegmentPlan(
        segments,
        backtest=_backtest(calendar, segments.test),
        counts=counts,
        chosen_by="spec" if asked == "segments" else asked,
        rule=rule,
        caveats=(*_caveats(calendar, segments, reach), *_untraded(calendar, segments, traded)),
    )


def _divide(calendar: Sequence[date], where: str, have: str, reach: Reach) -> Segments:
    usable = len(calendar) - reach.back - 2 * reach.ahead
    if usable < sum(SHORTEST.values()):
        needed = sum(SHORTEST.values()) + reach.back + 2 * reach.ahead
        _too_short(where, f"has {have}, and a run needs at least {needed}")
    train = max(SHORTEST["train"], round(usable * TRAIN_SHARE))
    valid = max(SHORTEST["valid"], round(usable * VALID_SHARE))
    valid_from = reach.back + train + reach.ahead
    test_from = valid_from + valid + reach.ahead
    return Segments(
        train=(calendar[reach.back], calendar[reach.back + train - 1]),
        valid=(calendar[valid_from], calendar[valid_from + valid - 1]),
        test=(calendar[test_from], calendar[-1]),
    )


def _closed(calendar: Sequence[date], wanted: Segments, days: Sequence[date], reach: Reach) -> Segments:
    """Return the segments with a day for each open end.

    Those of all three lie where the universe trades, and those between two segments as far apart as the
    label looks ahead.
    """
    train, valid, test = (list(span) for span in (wanted.train, wanted.valid, wanted.test))
    train[0] = train[0] or days[min(reach.back, len(days) - 1)]
    test[1] = test[1] or days[-1]
    for before, after in ((train, valid), (valid, test)):
        if before[1] is None:
            before[1] = calendar[max(0, bisect_left(calendar, after[0]) - reach.ahead - 1)]
        if after[0] is None:
            after[0] = calendar[min(len(calendar) - 1, bisect_right(calendar, before[1]) + reach.ahead)]
    return Segments(*((span[0], span[1]) for span in (train, valid, test)))


def _snap(calendar: Sequence[date], wanted: Segments) -> Segments:
    """Return the segments that the spec asks for, with their ends moved inward to trading days."""
    first, last = calendar[0], calendar[-1]
    for name in SHORTEST:
        begin, end = getattr(wanted, name)
        if begin < first or end > last:
            _invalid(
                f"{name} [{begin}, {end}] reaches outside the calendar, which runs from {first} to {last}"
            )
    for before, after in pairwise(SHORTEST):
        if getattr(wanted, before)[1] >= getattr(wanted, after)[0]:
            _invalid(f"{after} begins on {getattr(wanted, after)[0]}, not after the end of {before}")
    return Segments(*(_inside(calendar, name, getattr(wanted, name)) for name in SHORTEST))


def _inside(calendar: Sequence[date], name: str, span: tuple[date, date]) -> tuple[date, date]:
    begin, end = bisect_left(calendar, span[0]), bisect_right(calendar, span[1]) - 1
    if begin > end:
        _invalid(f"{name} [{span[0]}, {span[1]}] holds no trading day")
    return calendar[begin], calendar[end]


def _backtest(calendar: Sequence[date], test: tuple[date, date]) -> tuple[date, date]:
    """Return the backtest's days; the last order needs one more day of the calendar to settle."""
    return (test[0], calendar[-2]) if test[1] == calendar[-1] else test


def _caveats(calendar: Sequence[date], segments: Segments, reach: Reach) -> tuple[str, ...]:
    caveats = []
    before_train = bisect_left(calendar, segments.train[0])
    if before_train < reach.back:
        caveats.append(
            f"{before_train} days lie before train; features look {reach.back} days back, "
            "so those of its first days know less than they seem to"
        )
    for before, after in pairwise(SHORTEST):
        gap = bisect_left(calendar, getattr(segments, after)[0]) - bisect_right(
            calendar, getattr(segments, before)[1]
        )
        if gap < reach.ahead:
            caveats.append(
                f"{gap} days lie between {before} and {after}; "
                f"labels look {reach.ahead} days ahead, so they overlap"
            )
    return tuple(caveats)


def _check_trading(segments: Segments, traded: TradedDays) -> None:
    """Refuse a segment in which the universe hardly trades: there is nothing to learn or to judge."""
    for name, least in SHORTEST.items():
        first, last = getattr(segments, name)
        found = traded.count((first, last))
        if found < least:
            goes_on = f", and only {traded.alone} goes on" if traded.alone else ""
            _invalid(
                f"{name} [{first}, {last}] has {found} days on which the universe trades, fewer than the "
                f"{least} it needs: {traded.sentence}{goes_on}"
            )


def _untraded(calendar: Sequence[date], segments: Segments, traded: TradedDays | None) -> tuple[str, ...]:
    """Return what a reader must know where the universe ends more than a week before the calendar."""
    if traded is None or bisect_right(calendar, traded.days[-1]) + WEEK >= len(calendar):
        return ()
    goes_on = f"{traded.alone} goes on" if traded.alone else "the calendar goes on"
    what = "nothing trades after that, and holdings stay as they are"
    if segments.test[1] <= traded.days[-1]:
        what = "the segments end where they trade"
    return (f"{traded.sentence}, {goes_on} to {calendar[-1]}: {what}",)


def _check_lengths(counts: dict[str, int], have: str, where: str, asked: str) -> None:
    for name, least in SHORTEST.items():
        if counts[name] < least:
            shown = ", ".join(f"{key} {value}" for key, value in counts.items())
            if asked != AUTO:
                what = f"{name} has {counts[name]} trading days, fewer than the {least} it needs ({shown})"
                _invalid(what, asked)
            _too_short(where, f"has {have}, which leave {name} {counts[name]} of the {least} it needs")


def _count(calendar: Sequence[date], span: tuple[date, date]) -> int:
    return bisect_right(calendar, span[1]) - bisect_left(calendar, span[0])


def _too_short(where: str, what: str) -> NoReturn:
    raise StageError(Reason.DATASET_TOO_SHORT, f"{where}/{CALENDAR} {what}. Use a dataset with more history.")


def _invalid(what: str, field: str = "segments") -> NoReturn:
    remedy = "Correct the dates" if field == "segments" else "Lengthen it"
    raise StageError(
        Reason.SEGMENTS_INVALID,
        f"spec.workflow.{field}: {what}. {remedy}, or leave {field} to auto.",
    )

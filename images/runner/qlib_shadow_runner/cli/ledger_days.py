"""`qlib-shadow ledger orders, positions, nav and trend`: a book's days as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.cli.amounts import count
from qlib_shadow_runner.cli.ledger_show import overview_of
from qlib_shadow_runner.cli.ledger_texts import amount, change, gain, money, paragraph, plural, share
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.documents import (
    nav_document,
    orders_document,
    positions_document,
    trend_document,
)
from qlib_shadow_runner.ledger.entries import Verdict
from qlib_shadow_runner.ledger.record import drawdowns
from qlib_shadow_runner.ledger.weeks import weeks_of
from qlib_shadow_runner.printing import NOTHING, print_json, print_line, print_lines, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qlib_shadow_runner.cli.ledger_command import Asked
    from qlib_shadow_runner.ledger.weeks import BookWeek

ORDERS: Final = ("SIDE", "INSTRUMENT", "SHARES", "PRICE", "VALUE", "FILLED", "FILLED AT", "ORDER")
POSITIONS: Final = ("INSTRUMENT", "SHARES", "PRICE", "VALUE", "WEIGHT", "HELD", "PRICED")
NAV: Final = ("DAY", "NAV", "P&L", "RETURN", "BENCHMARK", "DRAWDOWN", "COSTS", "TURNOVER")
UNCOUNTED: Final = "* after a late decision or a missed night: no part of the record"
HELD: Final = "Held"
HALT: Final = "halt"
WEEKS: Final = ("WEEK OF", "DAYS", "RETURN", "BENCHMARK", "P&L", "COSTS", "NIGHTS")
DEFAULT_WEEKS: Final = "4"
MOST_WEEKS: Final = 520


def print_orders(asked: Asked) -> int:
    """Print the orders of a day, the last unless another is named, and what they came to."""
    found = orders_document(_chain(asked), asked.options["day"])
    if asked.as_json:
        print_json(found)
        return ExitCode.DONE
    late = ", too late to be filled" if found["late"] else ""
    book = asked.folder().name
    held = found["decision"] == HELD
    orders = "no orders" if held else plural(len(found["orders"]), "order")
    print_line(f"{book}  {found['day']}  {found['decision']}{late}  {orders}")
    if held:
        for line in _why_held(book, found["gates"]):
            print_lines(line)
    if found["orders"]:
        fills = {one["order"]: one for one in found["fills"]}
        rows = [_order_row(one, fills.get(one["id"])) for one in found["orders"]]
        print_table([ORDERS, *rows], {2, 3, 4, 5, 6})
    for order in found["orders"]:
        if plan := _plan_of(order):
            print_lines(paragraph(f"{order['instrument']}: ", plan))
    for fill in found["fills"]:
        if fill["why"]:
            print_lines(paragraph(f"{fill['instrument']}: ", fill["why"]))
    return ExitCode.DONE


def print_positions(asked: Asked) -> int:
    """Print what is held at the end of a day, the last unless another is named."""
    found = positions_document(_chain(asked), asked.options["day"])
    if asked.as_json:
        print_json(found)
        return ExitCode.DONE
    positions = plural(len(found["positions"]), "position")
    account = f"NAV {money(found['nav'])}, of it {money(found['cash'])} in cash, {positions}"
    print_line(f"{asked.folder().name}  {found['day']}  {account}")
    if found["positions"]:
        print_table([POSITIONS, *map(_position_row, found["positions"])], {1, 2, 3, 4, 5})
    return ExitCode.DONE


def print_nav(asked: Asked) -> int:
    """Print the account's value day by day."""
    one = overview_of(asked.folder())
    if asked.as_json:
        print_json(nav_document(one))
        return ExitCode.DONE
    if not one.days:
        print_line(f"{one.book} has no reconciled trading day yet; it holds {money(one.nav)}")
        return ExitCode.DONE
    losses = drawdowns(one.capital or 0.0, one.days)
    rows = [
        (
            *(day.day if day.counts else f"{day.day} *", money(day.nav), gain(day.pnl, 0)),
            *(change(day.day_return), change(day.benchmark)),
            *(share(loss, 2), money(day.costs, 0), share(day.turnover)),
        )
        for day, loss in zip(one.days, losses, strict=True)
    ]
    print_table([NAV, *rows], range(1, len(NAV)))
    if not all(day.counts for day in one.days):
        print_line(UNCOUNTED)
    return ExitCode.DONE


def print_trend(asked: Asked) -> int:
    """Print the last weeks of a book, the newest first."""
    text = asked.options["weeks"] or DEFAULT_WEEKS
    number = count(text, "--weeks") or 0
    if not 1 <= number <= MOST_WEEKS:
        raise StageError(
            Reason.INVALID_SPEC, f'--weeks must be a whole number from 1 to {MOST_WEEKS}, not "{text}"'
        )
    one = overview_of(asked.folder())
    weeks = weeks_of(one, number)
    if asked.as_json:
        print_json(trend_document(one, number))
        return ExitCode.DONE
    if not weeks:
        print_line(f"nothing is decided yet in {one.book}")
        return ExitCode.DONE
    rows = [
        (
            *(f"{week.monday}", str(week.days), change(week.total), change(week.benchmark)),
            *(gain(week.pnl, 0), money(week.costs, 0), _nights(week)),
        )
        for week in weeks
    ]
    print_table([WEEKS, *rows], range(1, len(WEEKS) - 1))
    return ExitCode.DONE


def _chain(asked: Asked) -> Chain:
    folder = asked.folder()
    overview_of(folder)  # every document has the form of one
    return Chain.read(folder)


def _why_held(book: str, gates: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield the lines of the gates that were closed, and of what to do next."""
    closed = [gate for gate in gates if gate["verdict"] == Verdict.CLOSED]
    for gate in closed:
        yield paragraph(f"closed: {gate['gate']}  ", gate["sentence"])
    step = f"qlib-shadow ledger show {book} says what holds it now"
    if any(gate["gate"] == HALT for gate in closed):
        step += f'; a halt ends with qlib-shadow ledger resume {book} --why "..."'
    yield paragraph("next: ", step)


def _plan_of(order: Mapping[str, Any]) -> str:
    """Return how an order is sized and sliced; empty where it is of so many shares, and in one piece."""
    parts = []
    if order["money_share"] is not None:
        parts.append(f"for {share(order['money_share'], 0)} of the cash after the day's sales")
    if order["slices"]:
        slices = ", ".join(f"{amount(one['shares'])} at {one['time']}" for one in order["slices"])
        parts.append(f"{plural(len(order['slices']), 'slice')}: {slices}")
    return "; ".join(parts)


def _order_row(order: Mapping[str, Any], fill: Mapping[str, Any] | None) -> Sequence[str]:
    filled = NOTHING if fill is None else amount(fill["shares"])
    return (
        order["side"],
        order["instrument"],
        amount(order["shares"]) if order["money_share"] is None else f"about {amount(order['shares'])}",
        _price(order["amount"] * order["price"], order["shares"]),
        money(order["amount"] * order["price"], 0),
        filled,
        _price(fill["value"], fill["shares"]) if fill else NOTHING,
        order["id"],
    )


def _position_row(one: Mapping[str, Any]) -> Sequence[str]:
    return (
        one["instrument"],
        amount(one["shares"]),
        _price(one["amount"] * one["price"], one["shares"]),
        money(one["amount"] * one["price"], 0),
        share(one["weight"]),
        f"{one['days']} d",
        one["priced"],
    )


def _nights(week: BookWeek) -> str:
    counts = {name: getattr(week, name) for name in ("decided", "held", "reducing", "late", "missed")}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or NOTHING


def _price(value: float, shares: float) -> str:
    """Return the price of a raw share, so that shares times price is the value that is shown."""
    return money(value / shares) if shares else NOTHING

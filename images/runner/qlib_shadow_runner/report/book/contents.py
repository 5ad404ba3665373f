"""What the page of a book holds, as rows and texts: made from the chain, in which any text may be written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.ledger.entries import Decision
from qlib_shadow_runner.report.book.rows import (
    EraRow,
    FigureRow,
    NightRow,
    OrderRow,
    PositionRow,
    UnfilledRow,
)
from qlib_shadow_runner.texts import is_number, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qlib_shadow_runner.ledger.overview import Overview

ROWS: Final = 100
"""The most orders, and positions, that are listed; the files of the book have all."""
UNFILLED: Final = 30
NIGHTS: Final = 20
"""The last nights that are listed."""
MISSED: Final = "Missed"
NOTES: Final = 20
ERAS: Final = 20
CHANGES: Final = 30
WORD: Final = 60
SENTENCE: Final = 400
MINUTE: Final = len("2026-11-30T22:00")


@dataclass(frozen=True)
class Contents:
    """Everything on the page besides the overview."""

    day: str | None = None
    """The day of the account that is shown."""
    orders: tuple[OrderRow, ...] = ()
    order_count: int = 0
    bought: float = 0.0
    sold: float = 0.0
    plan: tuple[str, ...] = ()
    """The times of the slices of each order; empty where each order is one."""
    figures: tuple[FigureRow, ...] = ()
    """What the orders would lead to."""
    notes: tuple[str, ...] = ()
    positions: tuple[PositionRow, ...] = ()
    unfilled: tuple[UnfilledRow, ...] = ()
    unfilled_count: int = 0
    filled_count: int = 0
    carried_count: int = 0
    fills_cost: float | None = None
    fills_shortfall: float | None = None
    fills_notes: tuple[str, ...] = ()
    nights: tuple[NightRow, ...] = ()
    """The last first."""
    eras: tuple[EraRow, ...] = ()
    events: tuple[tuple[str, str], ...] = ()
    """What happened on which day: held, sales or rules, with the day."""
    first: str | None = None
    """The day of the first decision."""
    recorded_at: str = ""
    """When the last decision was recorded."""


def contents_of(
    overview: Overview, documents: Sequence[Mapping[str, Any]], first_rules: Mapping[str, Any]
) -> Contents:
    """Return the contents; raises as Python does where an entry has not the form of one."""
    if not documents:
        return Contents()
    decisions = [one for one in documents if one["kind"] == "decision"]
    fills = [one for one in documents if one["kind"] == "fills"]
    account, last = documents[-1]["account"], decisions[-1] if decisions else None
    parts: dict[str, Any] = {}
    if last is not None:
        parts |= _orders(last, overview.rules or {})
    if fills:
        parts |= _fills(fills[-1])
    return Contents(
        day=word(documents[-1]["day"]),
        positions=_positions(account, documents[-1]["day"]),
        nights=tuple(_nights(overview, decisions, fills)),
        eras=tuple(_eras(decisions, first_rules))[::-1][:ERAS],
        events=tuple(_events(decisions)),
        first=word(decisions[0]["day"]) if decisions else None,
        **parts,
    )


def word(value: object) -> str:
    """Return a name or a word of an entry, bounded and without hidden characters."""
    return one_line(value, WORD)


def sentences(values: Iterable[object], most: int = NOTES) -> tuple[str, ...]:
    """Return sentences of an entry, not too many and none too long."""
    found = [one_line(value, SENTENCE) for value in values]
    more = [f"and {len(found) - most:,} more"] if len(found) > most else []
    return (*found[:most], *more)


def number(value: object) -> float | None:
    """Return a finite number; None for anything else."""
    return float(value) if is_number(value) else None


def product(one: object, other: object) -> float | None:
    """Return the product of two numbers; None where one is none."""
    return one * other if is_number(one) and is_number(other) else None


def ratio(one: object, other: object) -> float | None:
    """Return one number divided by another; None where one is none, or the other is 0."""
    return one / other if is_number(one) and is_number(other) and other else None


def _orders(decision: Mapping[str, Any], rules: Mapping[str, Any]) -> dict[str, Any]:
    nav = decision["account"]["nav"]
    rows = [_order(one, nav) for one in decision["orders"]]
    slices = next((one["slices"] for one in decision["orders"] if one["slices"]), ())
    largest = sorted(rows, key=lambda row: (row.side != "sell", -(row.value or 0.0)))
    totals = {side: sum(row.value or 0.0 for row in rows if row.side == side) for side in ("buy", "sell")}
    return {
        "orders": tuple(largest[:ROWS]),
        "order_count": len(rows),
        "bought": totals["buy"],
        "sold": totals["sell"],
        "plan": tuple(moment(one.get("at") or one.get("time")) for one in slices[:ROWS]),
        "figures": tuple(_figures(decision, rules.get("limits") or {})),
        "notes": sentences(decision["notes"]),
        "recorded_at": moment(decision["recordedAt"]),
    }


def _order(order: Mapping[str, Any], nav: object) -> OrderRow:
    value = product(order["amount"], order["price"])
    return OrderRow(
        instrument=word(order["instrument"]),
        side=word(order["side"]),
        shares=number(order["shares"]),
        price=ratio(value, order["shares"]),
        value=value,
        weight=ratio(value, nav),
        id=word(order["id"]),
    )


FIGURES: Final = (
    ("Turnover", "turnover", "max_turnover", "turnover", "percent"),
    ("In instruments", "gross", "max_gross", "gross", "percent"),
    ("Instruments", "names", "min_names", "names", "count"),
    ("Largest weight of a purchase", "maxWeight", "max_weight", "weight", "percent"),
    ("Share of the day's volume", "participation", "max_participation", "participation", "percent"),
)
"""The name of each figure, and of its limit and its gate."""


def _figures(decision: Mapping[str, Any], limits: Mapping[str, Any]) -> Iterable[FigureRow]:
    asked = {one["gate"] for one in decision["gates"]}
    for name, figure, limit, gate, form in FIGURES:
        known = number(decision["figures"].get(figure))
        yield FigureRow(name, known, number(limits.get(limit)), gate in asked, form)


def _positions(account: Mapping[str, Any], day: object) -> tuple[PositionRow, ...]:
    rows = []
    for one in account["positions"]:
        value = product(one["amount"], one["price"])
        rows.append(
            PositionRow(
                instrument=word(one["instrument"]),
                weight=number(one["weight"]),
                value=value,
                shares=number(one["shares"]),
                price=ratio(value, one["shares"]),
                days=number(one["days"]),
                stale=None if one["priced"] == day else word(one["priced"]),
            )
        )
    return tuple(sorted(rows, key=lambda row: -(row.value or 0.0))[:ROWS])


def _fills(document: Mapping[str, Any]) -> dict[str, Any]:
    fills = document["fills"]
    unfilled = [one for one in fills if one["why"]]
    rows = (
        UnfilledRow(
            word(one["instrument"]),
            word(one["side"]),
            number(one["shares"]),
            one_line(one["why"], SENTENCE),
        )
        for one in unfilled[:UNFILLED]
    )
    return {
        "unfilled": tuple(rows),
        "unfilled_count": len(unfilled),
        "filled_count": sum(bool(one["shares"]) for one in fills),
        "carried_count": len(document["carried"]),
        "fills_cost": number(document["costs"]),
        "fills_shortfall": number(document["shortfall"]),
        "fills_notes": sentences(document["notes"]),
    }


def _night(decision: Mapping[str, Any]) -> NightRow:
    closed = [one["gate"] for one in decision["gates"] if one["verdict"] in ("closed", "reduce")]
    return NightRow(
        day=word(decision["day"]),
        decision=word(decision["decision"]),
        late=decision["late"] is True,
        orders=len(decision["orders"]),
        turnover=number(decision["figures"].get("turnover")) if decision["orders"] else None,
        nav=number(decision["account"]["nav"]),
        closed=one_line(", ".join(map(in_words, closed)), SENTENCE),
        run=one_line(decision["run"]["runId"], WORD * 2),
    )


def _nights(
    overview: Overview, decisions: Sequence[Mapping[str, Any]], fills: Sequence[Mapping[str, Any]]
) -> list[NightRow]:
    """Return the last decisions and the nights missed among them, the last first."""
    shown = [_night(one) for one in decisions[-NIGHTS:]]
    navs = {one["day"]: number(one["account"]["nav"]) for one in fills}
    shown += [
        NightRow(
            word(day), MISSED, late=False, orders=None, turnover=None, nav=navs.get(day), closed="", run=""
        )
        for day in overview.missed_days
        if shown and day > shown[0].day
    ]
    return sorted(shown, key=lambda row: row.day, reverse=True)[:NIGHTS]


def moment(value: object) -> str:
    """Return a moment to the minute, in UTC as entries have it."""
    return word(value)[:MINUTE].replace("T", " ")


def in_words(name: object) -> str:
    """Return the name of a gate or of a rule as words: maxDataAge and max_data_age are max data age."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in str(name)[:WORD])
    return word(re.sub(r"\bic\b", "IC", spaced.replace("_", " ").strip()))


def _events(decisions: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    kinds = {Decision.HELD: "held", Decision.REDUCING: "sales"}
    for one in decisions:
        if one["decision"] in kinds:
            yield kinds[one["decision"]], word(one["day"])
    for before, after in pairwise(decisions):
        if after["era"] != before["era"]:
            yield "rules", word(after["day"])


def _eras(decisions: Sequence[Mapping[str, Any]], first_rules: Mapping[str, Any]) -> Iterable[EraRow]:
    era: object = None
    rules = flat(first_rules)
    for one in decisions:
        if one["era"] == era:
            continue
        era, before = one["era"], rules
        rules = flat(one["rules"]) if one["rules"] else rules
        changes = [
            f"{in_the_spec(name)}: {_value(before.get(name))} → {_value(rules.get(name))}"
            for name in sorted({*before, *rules})
            if before.get(name) != rules.get(name)
        ]
        yield EraRow(word(era), word(one["day"]), word(one["rulesSha256"]), sentences(changes, CHANGES))


def in_the_spec(name: str) -> str:
    """Return the name of a rule as the spec has it: limits.max_weight is limits.maxWeight."""
    return re.sub("_([a-z])", lambda found: found[1].upper(), word(name))


def _value(value: object) -> str:
    return "none" if value is None else word(value)


def flat(rules: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested rules with one name for each: limits.max_weight."""
    found: dict[str, Any] = {}
    for name, value in rules.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return found

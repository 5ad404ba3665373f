"""`qlib-shadow ledger show`: one book, all books, or the portfolio that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.cli.ledger_command import known_books
from qlib_shadow_runner.cli.ledger_texts import change, facts, gain, money, paragraph, plural, share
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.documents import list_document
from qlib_shadow_runner.ledger.entries import PORTFOLIO_FILE
from qlib_shadow_runner.ledger.overview import State, overview, when
from qlib_shadow_runner.ledger.portfolio import read_portfolio, totals_of
from qlib_shadow_runner.printing import NOTHING, print_error, print_json, print_line, print_lines, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from qlib_shadow_runner.cli.ledger_command import Asked
    from qlib_shadow_runner.ledger.overview import Overview
    from qlib_shadow_runner.ledger.portfolio import Portfolio, Total, Totals

HEADS: Final = ("BOOK", "STATE", "DAY", "NAV", "P&L", "RETURN", "DRAWDOWN", "CLOSED")
NUMBERS: Final = frozenset(range(HEADS.index("NAV"), len(HEADS)))
SHARES: Final = ("BOOK", "SHARE", "CAPITAL", "BEGAN WITH", "NAV", "STATE")
LISTED: Final = 10
"""Late and missed days that a line names, the last ones."""


def show(asked: Asked) -> int:
    """Print what was asked for."""
    if asked.options["portfolio"]:
        return _show_portfolio(asked)
    return _list(asked) if asked.book is None else _show_one(asked)


def overview_of(folder: Path) -> Overview:
    """Return the overview of a book that holds; a damaged one ends the command with its reason."""
    found = overview(folder)
    if found.is_damaged:
        Chain.read(folder)  # it says what is wrong, with the reason
        raise StageError(Reason.LEDGER_DAMAGED, f"{folder}: {found.sentence}")
    return found


def _list(asked: Asked) -> int:
    ledgers = asked.ledgers
    found = [overview(ledgers / name) for name in known_books(ledgers)]
    totals = totals_of(found)
    if asked.as_json:
        print_json(list_document(found, totals.document()))
        return ExitCode.DONE
    if not found:
        print_line(f"there are no books in {asked.data}; a run with spec.ledger begins one")
        return ExitCode.DONE
    rows = [_row(one) for one in found]
    if len(found) - totals.damaged > 1:
        rows += [
            (
                *(_all(total, totals), "", "", money(total.nav, 0), gain(total.pnl, 0)),
                *(change(total.since_start), "", ""),
            )
            for total in totals.regions
        ]
    print_table([HEADS, *rows], NUMBERS)
    for one in found:
        if said := _in_the_list(one):
            print_lines(paragraph(f"{one.book}: ", said))
    _note_wrong_portfolio(ledgers)
    return ExitCode.DONE


def _all(total: Total, totals: Totals) -> str:
    """Return how a row of sums is named: with its region where there are several, whose money has no sum."""
    return "all" if len(totals.regions) == 1 else f"all {total.region}"


def _row(one: Overview) -> Sequence[str]:
    if one.is_damaged:
        return (one.book, str(one.state), *[NOTHING] * (len(HEADS) - 2))
    return (
        one.book,
        str(one.state),
        one.decided or NOTHING,
        money(one.nav, 0),
        gain(one.pnl, 0),
        change(one.since_start),
        share(one.drawdown),
        str(len(one.closed)),
    )


def _in_the_list(one: Overview) -> str:
    """Return what is to be said of a book below the list; nothing of one whose nights all went well."""
    parts = [] if one.state is State.DECIDED and not one.late else [one.sentence]
    parts += [f"{plural(len(one.late_days), 'decision')} came too late"] * bool(one.late_days)
    parts += [f"{plural(len(one.missed_days), 'night')} missed"] * bool(one.missed_days)
    return "; ".join(parts)


def _note_wrong_portfolio(ledgers: Path) -> None:
    try:
        read_portfolio(ledgers)
    except StageError as error:
        print_error(f"note: {error.message}")


def _show_one(asked: Asked) -> int:
    one = overview_of(asked.folder())
    if asked.as_json:
        print_json(one.document())
        return ExitCode.DONE
    where = f"  (namespace {one.namespace})" if one.namespace else ""
    print_line(f"{one.book}  {one.state}{where}")
    print_lines(paragraph("  ", one.sentence))
    print_line("")
    print_lines(facts(_facts(one)))
    if one.gates:
        print_lines(["", "gates of the last decision"])
        width = max(len(gate.name) for gate in one.gates)
        for gate in one.gates:
            print_lines(paragraph(f"  {gate.verdict:<7}  {gate.name:<{width}}  ", gate.sentence))
    return ExitCode.DONE


def _facts(one: Overview) -> Iterator[tuple[str, str]]:
    if one.decided:
        what = f"{one.decided}: {one.decision}{', late' if one.late else ''}, {plural(one.orders, 'order')}"
        yield "decided", f"{what}, by run {one.run}, recorded at {when(one.recorded_at)}"
    yield "reconciled", f"to {one.reconciled}" if one.reconciled else "no trading day yet"
    held = one.gross / one.nav if one.gross is not None and one.nav else None
    what = f"{money(one.nav)}, {share(held)} of it in {plural(one.names, 'instrument')}"
    yield "NAV", f"{what}; it began with {money(one.capital)} ({change(one.since_start)})"
    if one.reconciled:
        yield "last day", f"{gain(one.pnl)} ({change(one.day_return)})"
        text = f"{share(one.drawdown, 2)} below its highest value, {money(one.peak)}"
        if one.reset_day:
            text += f"; the gate counts from {one.reset_day}, its reset: {share(one.drawdown_since_reset, 2)}"
        yield "drawdown", text
        worked = f"{share(one.turnover)} of the account a day; {money(one.traded)} traded"
        yield "turnover", f"{worked}, costs {money(one.costs)}"
    yield from _record(one)
    yield "late", _days(one.late_days)
    yield "missed", _days(one.missed_days)
    if one.halts:
        last = one.halts[0]
        why = f"{last['why'] or 'no reason is given'}; resumed: {last['resumedWhy'] or 'no reason is given'}"
        yield "halts", f"{len(one.halts)} lifted, the last at {when(last['resumedAt'])}: {why}"
    yield "rules", f"era {one.era}: {_rules(one.rules or {})}"
    yield "chain", f"{plural(one.entries, 'entry').replace('entrys', 'entries')}, head {one.head}"


def _rules(rules: Mapping[str, Any]) -> str:
    targets, costs = rules["targets"], rules["costs"]
    slippage = f", slippage {costs['slippage_bps']:g} bps" if costs["slippage_bps"] else ""
    weights = targets["weights"] or "of the backtest"
    chosen = f"topk {targets['topk']}, nDrop {targets['n_drop']}, weights {weights}"
    return f"{chosen}, fills at {rules['fill_at']}{slippage}"


def _record(one: Overview) -> Iterator[tuple[str, str]]:
    record = one.record
    if not record.days:
        yield "record", "no day counts yet"
        return
    text = f"{change(record.total)} on {plural(record.days, 'day')} after a decision in time"
    if record.benchmark is not None:
        same = (
            "the same"
            if record.benchmark_days == record.days
            else f"{record.benchmark_days} of them, on which the account made "
            f"{change(record.account_on_benchmark_days)}"
        )
        text += f"; the benchmark made {change(record.benchmark)} on {same}"
    yield "record", text
    if record.promise:
        last = record.promise[-1]
        band = f"{record.stands} the band of {change(last.low)} to {change(last.high)}"
        sums = f"daily returns add up to {change(last.account)}"
        yield "promise", f"{sums}, {band} around the backtest's {change(last.expected)}"


def _days(days: Sequence[str]) -> str:
    if not days:
        return "none"
    more = len(days) - LISTED
    return ", ".join(days[-LISTED:]) + (f" and {more} before" if more > 0 else "")


def _show_portfolio(asked: Asked) -> int:
    if asked.book is not None:
        raise StageError(Reason.INVALID_SPEC, f'--portfolio shows all books; leave "{asked.book[:80]}" out')
    ledgers = asked.ledgers
    portfolio = read_portfolio(ledgers)
    if portfolio is None:
        raise StageError(
            Reason.INVALID_SPEC,
            f"there is no {ledgers / PORTFOLIO_FILE}; each book has the capital of its spec.ledger.capital",
        )
    began = {name: overview(ledgers / name) for name in known_books(ledgers)}
    totals = totals_of(began.values())
    if asked.as_json:
        print_json(
            {
                "capital": portfolio.capital,
                "shares": dict(portfolio.shares),
                "unshared": _unshared(portfolio),
                "books": {name: one.document() for name, one in began.items()},
                "total": totals.document(),
            }
        )
        return ExitCode.DONE
    names = [*portfolio.shares, *(name for name in began if name not in portfolio.shares)]
    rows = [_share_row(name, portfolio, began.get(name)) for name in names]
    left = _unshared(portfolio)
    rows.append(("unshared", share(left), money(left * portfolio.capital, 0), "", "", ""))
    rows += [
        (_all(total, totals), "", "", money(total.capital, 0), money(total.nav, 0), "")
        for total in totals.regions
    ]
    print_table([SHARES, *rows], {1, 2, 3, 4})
    return ExitCode.DONE


def _unshared(portfolio: Portfolio) -> float:
    return max(0.0, 1 - sum(portfolio.shares.values()))


def _share_row(name: str, portfolio: Portfolio, one: Overview | None) -> Sequence[str]:
    part = portfolio.shares.get(name)
    return (
        name,
        share(part),
        money(None if part is None else part * portfolio.capital, 0),
        money(one.capital if one else None, 0),
        money(one.nav if one else None, 0),
        str(one.state) if one else "not begun",
    )

"""What every page, list and metric says of a book, from its chain: state, account, record and promise.

A damaged book has an overview too, which says what is wrong with it, so that one book spoils no list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.contract.spec.ledger import BOOK_NAME
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger import halts
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.entries import BOOK_FILE, CHAIN
from qlib_shadow_runner.ledger.notes import held_nights, without_price
from qlib_shadow_runner.ledger.record import Day, Record, days_of, drawdown_of, record_of
from qlib_shadow_runner.ledger.states import Gate, State, are_of_a_halt, sentence_of, state_of, when
from qlib_shadow_runner.storage.untrusted import is_folder, names_in, status_of, why_unreadable
from qlib_shadow_runner.texts import in_words, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Gate", "Overview", "State", "books", "overview", "overview_and_chain", "when"]


@dataclass(frozen=True)
class Overview:
    """A book as it is now; of a damaged one only the name, the state and the sentence are known."""

    book: str
    state: State
    sentence: str
    """What the state means, or what is wrong with the book."""
    namespace: str | None = None
    capital: float | None = None
    share: float | None = None
    """The share of the portfolio's capital that it began with, where it came from there."""
    era: int | None = None
    rules: Mapping[str, Any] | None = None
    """The rules of the last decision."""
    run: str | None = None
    """The run whose signals were decided upon last."""
    decided: str | None = None
    """The day of the last decision."""
    decision: str | None = None
    """What was decided then: Decided, Held or Reducing, whatever has been halted since."""
    late: bool = False
    """Whether that decision was late."""
    recorded_at: str | None = None
    orders: int = 0
    """How many orders it has."""
    reconciled: str | None = None
    """The last trading day whose fills are recorded."""
    nav: float | None = None
    cash: float | None = None
    gross: float | None = None
    """The value of all holdings."""
    names: int = 0
    """How many instruments are held."""
    pnl: float | None = None
    """Of the last reconciled day."""
    day_return: float | None = None
    peak: float | None = None
    """The highest value since the start."""
    drawdown: float | None = None
    """The loss since then, whatever has been reset."""
    reset_day: str | None = None
    """The day from which the gate counts the loss, where a resume has reset it."""
    drawdown_since_reset: float | None = None
    turnover: float | None = None
    """The mean share of the account that is traded on a day."""
    traded: float = 0.0
    costs: float = 0.0
    """Of all days, as the value traded is."""
    gates: tuple[Gate, ...] = ()
    decisions: Mapping[str, str] = field(default_factory=dict)
    """What was decided on each day: Decided, Held or Reducing."""
    held_nights: int = 0
    """How many of the last decisions in a row were Held."""
    unpriced: tuple[str, ...] = ()
    """Sentences: which holdings have had no price, and since when."""
    late_days: tuple[str, ...] = ()
    missed_days: tuple[str, ...] = ()
    """Trading days between the first and the last decision for which nothing was decided."""
    halt: Mapping[str, Any] | None = None
    """The kill switch that is on: state (HALTED or REDUCING), why and at."""
    halts: tuple[Mapping[str, Any], ...] = ()
    """Those that were lifted, the last first: the same with resumedAt, resumedWhy, resumedDay and
    resetDrawdown."""
    head: str | None = None
    """The SHA-256 of the last entry."""
    entries: int = 0
    days: tuple[Day, ...] = ()
    record: Record = field(default_factory=lambda: record_of(()))

    @property
    def closed(self) -> list[Gate]:
        """Return the gates that are closed."""
        return [gate for gate in self.gates if gate.is_closed]

    @property
    def since_start(self) -> float | None:
        """Return the return on the capital."""
        return self.nav / self.capital - 1 if self.nav is not None and self.capital else None

    @property
    def is_lifted(self) -> bool:
        """Return whether the last decision was held by a kill switch alone that was lifted since."""
        return self.halt is None and are_of_a_halt(self.closed)

    @property
    def is_damaged(self) -> bool:
        """Return whether the book cannot be believed."""
        return self.state is State.DAMAGED

    def document(self) -> dict[str, Any]:
        """Return the overview as JSON, without the single days."""
        record, promise = self.record, self.record.promise
        return {
            "book": self.book,
            "state": str(self.state),
            "sentence": self.sentence,
            "lifted": self.is_lifted,
            "namespace": self.namespace,
            "capital": self.capital,
            "share": self.share,
            "era": self.era,
            "rules": self.rules,
            "runId": self.run,
            "day": self.decided,
            "decision": self.decision,
            "late": self.late,
            "recordedAt": self.recorded_at,
            "orders": self.orders,
            "reconciled": self.reconciled,
            "nav": self.nav,
            "cash": self.cash,
            "gross": self.gross,
            "names": self.names,
            "pnl": self.pnl,
            "dayReturn": self.day_return,
            "peak": self.peak,
            "drawdown": self.drawdown,
            "resetDay": self.reset_day,
            "drawdownSinceReset": self.drawdown_since_reset,
            "turnover": self.turnover,
            "traded": self.traded,
            "costs": self.costs,
            "gates": [vars(gate) for gate in self.gates],
            "closedGates": [gate.name for gate in self.closed],
            "heldNights": self.held_nights,
            "unpriced": list(self.unpriced),
            "lateDays": list(self.late_days),
            "missedDays": list(self.missed_days),
            "halt": self.halt,
            "halts": list(self.halts),
            "head": self.head,
            "entries": self.entries,
            "record": {
                "days": record.days,
                "return": record.total,
                "meanDailyReturn": record.mean,
                "dailyDeviation": record.deviation,
                "benchmarkDays": record.benchmark_days,
                "benchmarkReturn": record.benchmark,
                "excessReturn": record.excess,
                "promise": vars(promise[-1]) if promise else None,
                "beyondPromise": record.is_beyond,
            },
        }


def overview(folder: Path) -> Overview:
    """Return what is to be said of the book in a folder; never raises for what lies in it."""
    return overview_and_chain(folder)[0]


def overview_and_chain(folder: Path, chain: Chain | None = None) -> tuple[Overview, Chain | None]:
    """Return the overview with the chain that it was made from; of a damaged book there is none.

    The chain is that of the folder, where the caller has read it already.
    """
    try:
        chain = Chain.read(folder) if chain is None else chain
        if chain.book["book"] == folder.name:
            return _of_chain(chain, folder), chain
        what = f"{BOOK_FILE} is of another book, {one_line(chain.book['book'], 80)}"
    except StageError as error:
        what = error.message
    except OSError as error:
        what = why_unreadable(error, folder.parent)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"an entry has not the form of one ({type(error).__name__}: {in_words(error)})"
    return Overview(folder.name, State.DAMAGED, what), None


def books(ledgers: Path) -> list[str]:
    """Return the sorted names of the books in the folder of all; none where there is no such folder.

    A folder that has entries and no BOOK.json counts: it is a damaged book.
    """
    try:
        names = names_in(ledgers)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in names if re.fullmatch(BOOK_NAME, name) and _is_book(ledgers, name)]


def _is_book(ledgers: Path, name: str) -> bool:
    return is_folder(ledgers, name) and any(
        _is_there(ledgers, f"{name}/{part}") for part in (BOOK_FILE, CHAIN)
    )


def _is_there(root: Path, name: str) -> bool:
    try:
        status_of(root, name)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # it cannot be looked at, and the overview says so
        return True
    return True


def _of_chain(chain: Chain, folder: Path) -> Overview:
    briefs = [entry.brief for entry in chain.entries]
    decisions = [one.brief for one in chain.decisions]
    days = days_of(briefs)
    last = chain.decisions[-1].document if decisions else None
    set_now = halts.halt_of(folder)
    halt = set_now.document() if set_now else None
    lifted = tuple(one.document() for one in reversed(halts.history(folder)))
    account = chain.entries[-1].document["account"] if briefs else None
    peak, drawdown = drawdown_of(_navs_since(briefs, ""))
    reset = _reset_day(decisions, lifted)
    gates = tuple(_gate(one) for one in (last or {}).get("gates", ()))
    state, held = state_of(halt, last), held_nights(chain)
    positions = account["positions"] if account else []
    unpriced = tuple(without_price(chain, {one["instrument"]: one["priced"] for one in positions}))
    return Overview(
        book=chain.book["book"],
        state=state,
        sentence="; ".join([sentence_of(state, halt, last, gates, held), *unpriced]),
        namespace=chain.book["namespace"],
        capital=chain.book["capital"],
        share=chain.book["share"],
        era=last["era"] if last else 1,
        rules=chain.rules[-1].document(),
        run=last["run"]["runId"] if last else None,
        decided=last["day"] if last else None,
        decision=last["decision"] if last else None,
        late=last["late"] if last else False,
        recorded_at=last["recordedAt"] if last else None,
        orders=len(last["orders"]) if last else 0,
        reconciled=days[-1].day if days else None,
        nav=account["nav"] if account else chain.book["capital"],
        cash=account["cash"] if account else chain.book["capital"],
        gross=account["nav"] - account["cash"] if account else 0.0,
        names=len(account["positions"]) if account else 0,
        pnl=days[-1].pnl if days else None,
        day_return=days[-1].day_return if days else None,
        peak=peak,
        drawdown=drawdown,
        reset_day=reset,
        drawdown_since_reset=drawdown_of(_navs_since(briefs, reset))[1] if reset else None,
        turnover=fmean(day.turnover for day in days) if days else None,
        traded=sum(day.traded for day in days),
        costs=sum(day.costs for day in days),
        gates=gates,
        decisions={one["day"]: one["decision"] for one in decisions},
        held_nights=held,
        unpriced=unpriced,
        late_days=tuple(one["day"] for one in decisions if one["late"]),
        missed_days=_missed(days, decisions),
        halt=halt,
        halts=lifted,
        head=chain.head,
        entries=len(briefs),
        days=days,
        record=record_of(days),
    )


def _reset_day(decisions: Sequence[Mapping[str, Any]], lifted: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the day from which the gate counts the drawdown, where that is not the first."""
    resets = [one["resumedDay"] for one in lifted if one["resetDrawdown"] and one["resumedDay"]]
    begun = [one["peakSince"] for one in decisions[-1:] if one["peakSince"] > decisions[0]["day"]]
    return max([*resets, *begun], default=None)


def _navs_since(briefs: Sequence[Mapping[str, Any]], first: str) -> Iterator[float]:
    """Yield the account's values from a day on."""
    return (one["account"]["nav"] for one in briefs if one["day"] >= first)


def _gate(answer: Mapping[str, Any]) -> Gate:
    return Gate(answer["gate"], answer["verdict"], answer["sentence"], answer["figure"], answer["limit"])


def _missed(days: Sequence[Day], decisions: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the days before the last decision without one; the fills of its own day may precede it."""
    decided = {one["day"] for one in decisions}
    last = max(decided, default="")
    return tuple(day.day for day in days if day.day < last and day.day not in decided)

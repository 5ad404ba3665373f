"""One night of a book: reconcile the trading days since the last entry, ask the gates, record a decision.

The same night again changes nothing. A night that was missed is reconciled later; no decision is invented
for it. Everything follows from the chain, the night's facts, the prices, the kill switch and the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.crash_points import LedgerPoint, fault_point
from qlib_shadow_runner.errors import from_os_error
from qlib_shadow_runner.ledger.book import append, begin, remove_drafts, sync_book
from qlib_shadow_runner.ledger.brought import Night
from qlib_shadow_runner.ledger.chain import Chain, damaged
from qlib_shadow_runner.ledger.decide import decide, why_not_all
from qlib_shadow_runner.ledger.entries import BOOK_FILE, SCHEMA, BookDocument, written
from qlib_shadow_runner.ledger.forms import misfit
from qlib_shadow_runner.ledger.gates import DATA_AGE, Facts, ask, closed
from qlib_shadow_runner.ledger.halts import halt_of, history
from qlib_shadow_runner.ledger.lock import locked_book
from qlib_shadow_runner.ledger.own import require_capital, require_own
from qlib_shadow_runner.ledger.quotes import Quotes
from qlib_shadow_runner.ledger.reconcile import reconcile
from qlib_shadow_runner.ledger.rules import Rules
from qlib_shadow_runner.ledger.sessions import Sessions, deadline
from qlib_shadow_runner.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from qlib_shadow_runner.dataset.qlib_layout import Dataset
    from qlib_shadow_runner.ledger.decide import Decided
    from qlib_shadow_runner.ledger.entries import DayDocument, GateAnswer
    from qlib_shadow_runner.ledger.halts import Halt

__all__ = ["Night", "Recorded", "record_night"]


@dataclass(frozen=True)
class Recorded:
    """How the night ended; every way is a success of the stage."""

    decision: DayDocument | None
    """The decision of the night's day as the book has it; None where the book is ahead and has none."""
    new: bool
    """Whether this call recorded it."""
    chain: Chain
    """The chain after this call, so that it is read once a night."""
    reconciled: int
    """The trading days that this call reconciled."""
    sentence: str
    """What happened, for the run's message."""
    notes: tuple[str, ...] = ()
    """What a person should know besides, in sentences."""
    closed_since: tuple[str, ...] = ()
    """Gates that would be closed now, whatever they were when the day was decided: dataAge, where no day came
    since."""

    @property
    def head(self) -> str:
        """Return the hash of the chain's last entry."""
        return self.chain.head


def record_night(night: Night, dataset: Dataset) -> Recorded:
    """Record one night; raises StageError: LedgerDamaged, LedgerRefused, LedgerLocked, or of the volume."""
    fault = misfit(night.rules.document(), Rules)
    if fault is not None:
        refuse(
            f"spec.ledger: what the run asks for {fault}; correct it there, or in the template's backtest",
            Reason.LEDGER_REFUSED,
        )
    sessions = Sessions.of(night.rules.calendar)
    strange = [name for name, score in night.scores.items() if not math.isfinite(score)]
    if strange:
        refuse(
            f"the signals of {night.day} have scores that are no finite numbers, such as that of "
            f"{strange[0]}; make the signals again",
            Reason.LEDGER_REFUSED,
        )
    if night.rules.decide_before is not None:
        deadline(night.rules.decide_before, night.day)  # an unknown time zone is refused before anything else
    try:
        with locked_book(night.folder) as still_held:
            fault_point(LedgerPoint.LOCKED)
            return _Work(night, Quotes.of(dataset), sessions, still_held).record()
    except OSError as error:
        raise from_os_error(error, night.folder) from error


@dataclass
class _Work:
    """A night at work, which holds the book's lock."""

    night: Night
    quotes: Quotes
    sessions: Sessions
    still_held: Callable[[], None]

    def record(self) -> Recorded:
        """Return how the night ended, after writing what it has to."""
        chain = self._begun()
        if chain.entries and self.night.day <= chain.decisions[-1].day:
            return self._recorded_before(chain)
        if chain.entries and self.night.day < chain.entries[-1].day:
            return self._behind(chain)
        self._require_day()
        on = halt_of(self.night.folder)  # before the history: what is lifted meanwhile is in one of the two
        halts = (*history(self.night.folder), *filter(None, [on]))
        before = len(chain.entries)
        chain = self._reconciled(chain, halts)
        fault_point(LedgerPoint.RECONCILED)
        found = self._decided(chain)
        fault_point(LedgerPoint.PLANNED)
        self.still_held()
        reconciled = len(chain.entries) - before
        chain = chain.with_entry(append(self.night.folder, found.document))
        return Recorded(
            decision=found.document,
            new=True,
            chain=chain,
            reconciled=reconciled,
            sentence=f"book {self.name}: {found.sentence}",
            notes=(*self._notes_on_capital(chain), *found.document["notes"]),
        )

    @property
    def name(self) -> str:
        """Return the book's name."""
        return self.night.folder.name

    @cached_property
    def now(self) -> datetime:
        """Return the moment of the record, in whole seconds as it is written."""
        return self.night.clock().replace(microsecond=0)

    def _begun(self) -> Chain:
        """Return the book's chain; begin the book where there is none."""
        folder = self.night.folder
        try:
            chain = Chain.read(folder)
        except FileNotFoundError:
            begin(folder, self._book())
            chain = Chain.read(folder)
        self._require_own(chain.book)
        remove_drafts(folder)
        sync_book(folder)
        return chain

    def _book(self) -> BookDocument:
        return BookDocument(
            schema=SCHEMA,
            book=self.name,
            namespace=self.night.namespace,
            capital=require_capital(self.name, self.night.capital),
            share=self.night.share,
            rules=self.night.rules.document(),
            createdBy=str(self.night.run.get("runId", "")),
            createdAt=written(self.now),
        )

    def _require_own(self, book: BookDocument) -> None:
        """Refuse a run that is not the book's."""
        night = self.night
        if book["book"] != self.name:
            raise damaged(night.folder / BOOK_FILE, f"is that of the book {book['book']}")
        require_own(self.name, book, night.namespace, night.capital, night.share)

    def _require_day(self) -> None:
        """Refuse data that does not have the day of the signals."""
        if not self.quotes.has(self.night.day):
            refuse(
                f"spec.dataset: the dataset has no trading day {self.night.day}, which the signals have; use "
                "the data that they were made from",
                Reason.LEDGER_REFUSED,
            )

    def _reconciled(self, chain: Chain, halts: tuple[Halt, ...]) -> Chain:
        """Return the chain with an entry for each trading day since its last one.

        The data may have that one no more, where its vendor has withdrawn it: the book goes on after it.
        """
        if not chain.entries:
            return chain
        for day in self.quotes.between(chain.entries[-1].day, self.night.day):
            document = reconcile(
                chain,
                day,
                self.quotes,
                run={
                    key: self.night.run.get(key)
                    for key in ("runId", "datasetFingerprint", "dataset", "benchmark")
                },
                benchmark=self.night.benchmark.get(day),
                halts=halts,
                sessions=self.sessions,
            )
            self.still_held()
            chain = chain.with_entry(append(self.night.folder, document))
        return chain

    def _decided(self, chain: Chain) -> Decided:
        # The kill switch is asked as late as can be.
        return decide(
            chain,
            self.night,
            self.quotes,
            self.sessions,
            halt=halt_of(self.night.folder),
            lifted=history(self.night.folder),
            now=self.now,
        )

    def _recorded_before(self, chain: Chain) -> Recorded:
        """Return what the book has, which a run of the same day or an earlier one leaves as it is."""
        day = self.night.day
        entry = next((one for one in chain.decisions if one.day == day), None)
        if entry is None:
            return self._behind(chain)
        document: Any = entry.document
        run, notes = document["run"], []
        if run.get("signalsSha256") != self.night.run.get("signalsSha256"):
            notes.append(
                f"this run has other signals for {day} than run {run.get('runId')}, whose decision stays"
            )
        if document["rulesSha256"] != self.night.rules.sha256:
            notes.append(
                f"this run has other rules than run {run.get('runId')} had for {day}; they count from the "
                "next decision on"
            )
        by = f"by run {run.get('runId')}{why_not_all(document)}"
        said = f"book {self.name}: the decision of {day} is recorded already, {by}"
        old = self._old_data()
        if old is not None:
            said += f"; {old['gate']}: {old['sentence']}"
            notes.append(f"no day has come since {day}: {old['sentence']}")
        return Recorded(
            document,
            new=False,
            chain=chain,
            reconciled=0,
            sentence=said,
            notes=tuple(notes),
            closed_since=(old["gate"],) if old is not None else (),
        )

    def _old_data(self) -> GateAnswer | None:
        """Return the answer of the gate that asks the age of the data, where it would be closed now.

        A feed that has stopped brings the same day each night, which is decided already: no gate is asked.
        """
        age = self.sessions.closed_since(self.night.day, self.now)
        answers = closed(ask(Facts(self.night.facts, data_age=age), self.night.rules, of_plan=False))
        return next((one for one in answers if one["gate"] == DATA_AGE), None)

    def _behind(self, chain: Chain) -> Recorded:
        last = chain.entries[-1].day
        said = (
            f"book {self.name}: it has come to {last}, and nothing is decided for {self.night.day} afterwards"
        )
        old = self._old_data()
        notes = (f"the data of this run is old: {old['sentence']}",) if old is not None else ()
        return Recorded(None, new=False, chain=chain, reconciled=0, sentence=said, notes=notes)

    def _notes_on_capital(self, chain: Chain) -> list[str]:
        began, asked = chain.book["capital"], self.night.capital
        if self.night.share is None or asked in (None, began):
            return []
        return [f"the portfolio file gives this book {asked:,.2f}; it keeps its capital of {began:,.2f}"]

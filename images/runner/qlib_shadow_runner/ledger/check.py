"""Check a book: recompute everything in it from its own files, and from prices where there are some.

Each entry is recomputed from the entries before it, so that one that is wrong is named, and not all after it.
What other data than that of the night could explain is no damage: it is told by itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.kinds import shown
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import DECISION, Chain
from qlib_shadow_runner.ledger.check_days import differences_of_day
from qlib_shadow_runner.ledger.check_decisions import differences_of_decision
from qlib_shadow_runner.ledger.entries import BOOK_FILE, HALTS, encode
from qlib_shadow_runner.ledger.evidence import Difference, Evidence, Known
from qlib_shadow_runner.ledger.halts import history, peaks_begun
from qlib_shadow_runner.ledger.sources import NoSources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qlib_shadow_runner.dataset.qlib_layout import Dataset
    from qlib_shadow_runner.ledger.entry import Entry
    from qlib_shadow_runner.ledger.sources import Sources

MOST: Final = 100
"""Findings; more say no more."""
A_DAY: Final = 3
"""Differences that other data explains which are told of each entry; the others are counted."""
FAULTS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What computing with the values of a forged entry can end in."""


@dataclass(frozen=True)
class Checked:
    """What a check has found."""

    findings: tuple[str, ...] = ()
    """What does not hold, whatever the data: each names file and field."""
    of_data: tuple[str, ...] = ()
    """What does not follow from the data that is there now, and did from that of its night, or may have."""
    of_data_count: int = 0
    """How many differences these are, with those that are not told."""
    entries: int = 0
    exact: int = 0
    """The entries that were recomputed from the very data of their night."""
    is_newer: bool = False
    """Whether a newer version has written the book: then nothing was checked."""


def verify_book(
    folder: Path, dataset: Dataset | None = None, head: str | None = None, sources: Sources | None = None
) -> list[str]:
    """Return what does not hold, whatever the data; see `check_book`."""
    return list(check_book(folder, dataset, head, sources).findings)


def check_book(
    folder: Path, dataset: Dataset | None = None, head: str | None = None, sources: Sources | None = None
) -> Checked:
    """Return what does not hold in a book, and what other data explains.

    An entry is held strictly to the data of its night where `sources` still have it. Else what follows from
    prices is held to those that the entry records, and its difference from `dataset` is told by itself. Who
    can write the volume can forge a whole chain; only a head that was kept elsewhere (the run's status, its
    Event) shows that.
    """
    try:
        chain = Chain.read(folder)
        halts = history(folder)
    except FileNotFoundError:
        return Checked((f"{folder} holds no book",))
    except StageError as error:
        return Checked((error.message,), is_newer=error.reason is Reason.LEDGER_REFUSED)
    found = [] if head is None else list(_findings_of_head(chain, head))
    if chain.book["book"] != folder.absolute().name:
        found.append(f"{BOOK_FILE}: book is {chain.book['book']}, and its folder {folder.absolute().name}")
    found += _findings_of_peaks(chain, peaks_begun(halts))
    evidence = Evidence.of(folder, dataset, sources or NoSources(), halts)
    told: list[str] = []
    count = exact = 0
    before = Chain(chain.book, (), _hash_of_book(chain))
    for entry, following in zip(chain.entries, [*chain.entries[1:], None], strict=True):
        if len(found) >= MOST:
            break
        known = evidence.known(entry)
        exact += known.exact is not None
        damage, of_data = _findings(before, entry, following, known)
        found += damage
        told += of_data[:A_DAY]
        if len(of_data) > A_DAY:
            told.append(f"{entry.path}: {len(of_data) - A_DAY} more that follow from prices")
        count += len(of_data)
        before = before.with_entry(entry)
    return Checked(tuple(found), tuple(told), count, len(chain.entries), exact)


def _findings_of_head(chain: Chain, head: str) -> Iterator[str]:
    if head not in {_hash_of_book(chain), *(one.sha256 for one in chain.entries)}:
        last = chain.entries[-1].path if chain.entries else BOOK_FILE
        yield (
            f"no entry has the hash {head}, which was the head: the chain was cut, or written again. Its "
            f"head is now {chain.head} ({last})"
        )


def _findings_of_peaks(chain: Chain, resets: set[date]) -> Iterator[str]:
    """Yield the decisions from which a peak begins that no resume has let begin."""
    for before, entry in pairwise(chain.decisions):
        since = entry.brief["peakSince"]
        if since != before.brief["peakSince"] and date.fromisoformat(since) not in resets:
            yield f"{entry.path}: peakSince is {since}, and nothing in {HALTS} reset the drawdown there"


def _findings(
    before: Chain, entry: Entry, following: Entry | None, known: Known
) -> tuple[list[str], list[str]]:
    """Return what does not hold in an entry, and what other data explains."""
    damage, of_data = [], []
    if hashlib.sha256(encode(entry.document)).hexdigest() != entry.sha256:
        damage.append(f"{entry.path} is not written as a book writes its entries")
    try:
        for one in _differences(before, entry, following, known):
            said = f"{entry.path}: {one.field} is {shown(one.recorded)}, and {shown(one.expected)} follows"
            if one.of_data:
                of_data.append(f"{said} from the data that is there now")
            else:
                damage.append(f"{said} from the rest")
    except StageError as error:
        damage.append(f"{entry.path} cannot be computed again: {error.message}")
    except OSError as error:
        of_data.append(f"{entry.path} cannot be held to the data, which cannot be read: {error}")
    except FAULTS as error:
        damage.append(f"{entry.path} cannot be computed again ({type(error).__name__}: {error})"[:500])
    return damage, of_data


def _differences(before: Chain, entry: Entry, following: Entry | None, known: Known) -> Iterator[Difference]:
    if entry.kind == DECISION:
        return differences_of_decision(before, entry, following, known)
    return differences_of_day(before, entry, known)


def _hash_of_book(chain: Chain) -> str:
    return str(chain.entries[0].document["previous"]) if chain.entries else chain.head

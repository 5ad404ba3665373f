"""Read a book's chain: BOOK.json, and one file for each decision and each reconciled trading day.

Any process that can write the volume can put anything there, so that every file is read as `untrusted` reads
one, and has to have exactly its form, its number and the hash of the file before it. What does not is
LedgerDamaged, with the file and what is wrong with it. Hidden files are drafts, and are left out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self, cast

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.kinds import shown
from qlib_shadow_runner.contract.strict_json import parse_json
from qlib_shadow_runner.errors import DamagedFileError, StageError, from_os_error
from qlib_shadow_runner.ledger.account import Account
from qlib_shadow_runner.ledger.entries import (
    BOOK_FILE,
    DAYS,
    FILLS,
    SCHEMA,
    BookDocument,
    DayDocument,
    FillDocument,
)
from qlib_shadow_runner.ledger.forms import misfit
from qlib_shadow_runner.ledger.rules import Rules, sha256_of_rules
from qlib_shadow_runner.runs import values
from qlib_shadow_runner.storage.untrusted import DOCUMENT, MIB, FileKind, fault_of, names_in, read_file

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

DECISION: Final = "decision"
RECONCILED: Final = "fills"
"""The kinds of entries."""
FOLDERS: Final = {RECONCILED: FILLS, DECISION: DAYS}
"""The folder of each kind, in the order in which a day has them."""
ENTRY: Final = FileKind("entry of a book", 64 * MIB)
"""A decision has a line for each score: 5,000 instruments are 200 KB."""
SUFFIX: Final = ".json"


def damaged(path: str | Path, fault: str) -> StageError:
    """Return the error of a file that the chain cannot have."""
    return StageError(
        Reason.LEDGER_DAMAGED,
        f"{path} {fault}. Nothing is written to this book; see `qlib-shadow ledger verify`.",
    )


@dataclass(frozen=True)
class Entry:
    """One file of the chain."""

    kind: str
    """decision or fills."""
    day: date
    document: dict[str, Any]
    """entries.DayDocument or entries.FillDocument."""
    sha256: str
    """The hash of the file's bytes, which the next entry holds."""
    path: str
    """Below the book's folder, such as days/2026-11-30.json."""

    @property
    def account(self) -> Account:
        """Return the account at the close of the day."""
        return Account.read(self.document["account"])


@dataclass(frozen=True)
class Chain:
    """A whole chain that holds: by day, a day's fills before its decision."""

    book: BookDocument
    entries: tuple[Entry, ...]
    head: str
    """The hash of the last entry's bytes, or of BOOK.json while there is none."""

    @classmethod
    def read(cls, folder: Path, *, scores: bool = True) -> Self:
        """Return the chain in a book's folder; raises StageError(LEDGER_DAMAGED) where it does not hold.

        FileNotFoundError where there is no book: no folder, or one in which nothing has begun. Without
        `scores`, documents have no signals: a thousand days of 5,000 would take a gigabyte.
        """
        folder = folder.absolute()
        listed = [(day, kind, path) for kind in FOLDERS for day, path in _listed(folder, kind)]
        listed.sort(key=lambda one: (one[0], list(FOLDERS).index(one[1])))
        try:
            document, sha256 = _read(folder, BOOK_FILE, BookDocument)
        except FileNotFoundError:
            if listed:
                raise damaged(folder / BOOK_FILE, f"is missing, and {listed[0][2]} is there") from None
            raise
        chain = cls(cast("BookDocument", document), (), sha256)
        reader = _Reader(folder, chain.book["rules"], sha256, scores=scores)
        entries = tuple(reader.entry(*one) for one in listed)
        return cls(chain.book, entries, reader.head)

    def with_entry(self, entry: Entry) -> Chain:
        """Return the chain with one more entry, which follows from the last one."""
        return Chain(self.book, (*self.entries, entry), entry.sha256)

    @cached_property
    def decisions(self) -> tuple[Entry, ...]:
        """Return the decisions, by day."""
        return tuple(one for one in self.entries if one.kind == DECISION)

    @cached_property
    def fills(self) -> tuple[Entry, ...]:
        """Return the reconciled trading days, by day."""
        return tuple(one for one in self.entries if one.kind == RECONCILED)

    @cached_property
    def rules(self) -> tuple[Rules, ...]:
        """Return the rules of each era, the first era's first."""
        return tuple(map(Rules.read, self._rules))

    @property
    def rules_sha256(self) -> str:
        """Return the hash of the rules of the last era."""
        return sha256_of_rules(self._rules[-1])

    @property
    def _rules(self) -> list[dict[str, Any]]:
        later = (one.document["rules"] for one in self.decisions)
        return [self.book["rules"], *(one for one in later if one is not None)]


@dataclass
class _Reader:
    """Reads entries one by one, each of which has to follow from the one before."""

    folder: Path
    rules: dict[str, Any]
    """The rules of the era."""
    head: str
    scores: bool
    number: int = 0
    era: int = 1
    last: str = BOOK_FILE
    kind: str = ""
    day: date | None = None

    def entry(self, day: date, kind: str, path: str) -> Entry:
        """Return the entry in a file."""
        form = DayDocument if kind == DECISION else FillDocument
        try:
            document, sha256 = _read(self.folder, path, form)
        except FileNotFoundError:
            raise damaged(self.folder / path, "was there and is gone") from None
        fault = self._fault(document, day, kind)
        if fault is not None:
            raise damaged(self.folder / path, fault)
        self.number, self.head, self.last, self.kind, self.day = self.number + 1, sha256, path, kind, day
        if kind == DECISION and not self.scores:
            document |= {"scores": {}, "expected": {}}
        return Entry(kind, day, document, sha256, path)

    def _fault(self, document: dict[str, Any], day: date, kind: str) -> str | None:
        number = self.number + 1
        is_next = kind == RECONCILED or number == 1 or (self.kind, self.day) == (RECONCILED, day)
        holds = {
            f"has the kind {document['kind']}, and its folder has those of {kind}": document["kind"] == kind,
            f"has the day {document['day']}, and another name": document["day"] == day.isoformat(),
            f"has the number {document['number']}, where {number} follows {self.last}": (
                document["number"] == number
            ),
            "is the first entry, which has to be a decision": kind == DECISION or number > 1,
            f"has no {FILLS}/{day}{SUFFIX} before it": is_next,
            f"does not follow from {self.last}: one of the two was changed": (
                document["previous"] == self.head
            ),
        }
        names = [one["instrument"] for one in document["account"]["positions"]]
        holds["has an instrument twice in its positions"] = len(names) == len(set(names))
        fault = next((said for said, is_so in holds.items() if not is_so), None)
        return self._fault_of_rules(document) if fault is None and kind == DECISION else fault

    def _fault_of_rules(self, document: dict[str, Any]) -> str | None:
        if document["rules"] is not None:
            self.rules, self.era = document["rules"], self.era + 1
        if document["peakSince"] > document["day"]:
            return f"has peakSince {document['peakSince']}, which is later than its day"
        if document["era"] != self.era:
            return f"has the era {document['era']}, where it is {self.era}"
        if document["rulesSha256"] != sha256_of_rules(self.rules):
            return "has a rulesSha256 that is not that of its rules"
        return None


def last_day(folder: Path) -> date | None:
    """Return the last day that a book's chain has, by the names of its files; None while it has none."""
    return max((day for kind in FOLDERS for day, _ in _listed(folder.absolute(), kind)), default=None)


def _listed(folder: Path, kind: str) -> list[tuple[date, str]]:
    """Return the day and the path of each file of one kind."""
    name = FOLDERS[kind]
    try:
        names = names_in(folder.parent, f"{folder.name}/{name}")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(folder / name, error) from error
    found = []
    for one in names:
        if one.startswith("."):
            continue
        day = values.day(one.removesuffix(SUFFIX))
        if day is None or one != f"{day}{SUFFIX}":
            raise damaged(folder / name / one, f"is no entry, whose name is a day and {SUFFIX}")
        found.append((day, f"{name}/{one}"))
    return found


def _read(folder: Path, path: str, form: type) -> tuple[dict[str, Any], str]:
    """Return a file's document, which has its form, and the hash of its bytes."""
    content = _whole(folder, path, DOCUMENT if form is BookDocument else ENTRY)
    try:
        document = parse_json(content)
        if b"\\ud" in content.lower():  # half a surrogate pair, which cannot be written again
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeError as error:
        raise damaged(folder / path, "is damaged: it is not text") from error
    except ValueError as error:
        raise damaged(folder / path, f"is damaged: {error}") from error
    if isinstance(document, dict):
        _require_schema(folder / path, document.get("schema"))
    fault = misfit(document, form)
    if fault is not None:
        raise damaged(folder / path, fault)
    assert isinstance(document, dict), "it has its form"
    return document, hashlib.sha256(content).hexdigest()


def _require_schema(path: Path, schema: object) -> None:
    """Refuse a file of a later version, which is as sound as any, and one that no version has written."""
    if type(schema) is not int or schema < 1:
        raise damaged(path, f"has the schema {shown(schema)}, which no version has written")
    if schema > SCHEMA:
        raise StageError(
            Reason.LEDGER_REFUSED,
            f"{path} was written by a newer version: its schema is {shown(schema)}, and this version reads "
            f"those up to {SCHEMA}. Use that version for this book; it is not damaged.",
        )


def _whole(folder: Path, path: str, kind: FileKind) -> bytes:
    try:
        return read_file(folder.parent, f"{folder.name}/{path}", kind)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(folder / path, error) from error


def _unreadable(path: Path, error: OSError) -> StageError:
    """Return the error of a file that is not as it should be, or of a volume that does not answer."""
    if isinstance(error, DamagedFileError):
        return damaged(error.path, error.fault)
    if isinstance(error, PermissionError | NotADirectoryError):
        return damaged(path, fault_of(error))
    return from_os_error(error, path)

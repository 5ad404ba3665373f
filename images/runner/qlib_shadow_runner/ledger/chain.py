"""Read a book's chain: BOOK.json, and one file for each decision and each reconciled trading day.

Any process that can write the volume can put anything there, so that every file is read as `untrusted` reads
one, and has to have exactly its form, its number and the hash of the file before it. What does not is
LedgerDamaged, with the file and what is wrong with it. Hidden files are drafts, and are left out.

Readers hold no lock. A book only grows, so that a reader beside a writer sees the chain as it was at some
moment: the folder is listed once, and a listing that lacks a number is believed only when the next one does.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, Self, cast

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.kinds import shown
from qlib_shadow_runner.contract.strict_json import parse_json
from qlib_shadow_runner.errors import DamagedFileError, StageError, from_os_error
from qlib_shadow_runner.ledger.entries import (
    BOOK_FILE,
    CHAIN,
    SCHEMA,
    BookDocument,
    DayDocument,
    FillDocument,
    name_of,
)
from qlib_shadow_runner.ledger.entry import Entry, brief_of
from qlib_shadow_runner.ledger.forms import misfit
from qlib_shadow_runner.ledger.rules import Rules, sha256_of_rules
from qlib_shadow_runner.storage.untrusted import DOCUMENT, MIB, FileKind, fault_of, names_in, read_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DECISION: Final = "decision"
RECONCILED: Final = "fills"
"""The kinds of entries."""
FORMS: Final = {RECONCILED: FillDocument, DECISION: DayDocument}
ENTRY: Final = FileKind("entry of a book", 64 * MIB)
"""A decision has a line for each score: 5,000 instruments are 200 KB."""
SUFFIX: Final = ".json"
NOUGHT: Final = f"{0:06d}{SUFFIX}"
NAME: Final = re.compile(r"\d{6}\.json", re.ASCII)
LISTINGS: Final = 2
"""So many listings in turn have to lack a number: one of a folder that grows may have passed its place."""


def damaged(path: str | Path, fault: str) -> StageError:
    """Return the error of a file that the chain cannot have."""
    return StageError(
        Reason.LEDGER_DAMAGED,
        f"{path} {fault}. Nothing is written to this book; see `qlib-shadow ledger verify`.",
    )


@dataclass(frozen=True)
class Chain:
    """A whole chain that holds: by day, a day's fills before its decision."""

    book: BookDocument
    entries: tuple[Entry, ...]
    head: str
    """The hash of the last entry's bytes, or of BOOK.json while there is none."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the chain in a book's folder; raises StageError(LEDGER_DAMAGED) where it does not hold.

        FileNotFoundError where there is no book: no folder, or one in which nothing has begun.
        """
        folder = folder.absolute()
        count = _count(folder)
        try:
            document, sha256 = _read(folder, BOOK_FILE)
        except FileNotFoundError:
            if count:
                raise damaged(folder / BOOK_FILE, f"is missing, and {name_of(1)} is there") from None
            raise
        count = count or _count(folder, has_begun=True)
        chain = cls(cast("BookDocument", document), (), sha256)
        reader = _Reader(folder, chain.book["rules"], sha256)
        entries = tuple(reader.entry(number) for number in range(1, count + 1))
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
        later = (one.brief["rules"] for one in self.decisions)
        return [self.book["rules"], *(one for one in later if one is not None)]


@dataclass
class _Reader:
    """Reads entries one by one, each of which has to follow from the one before."""

    folder: Path
    rules: dict[str, Any]
    """The rules of the era."""
    head: str
    number: int = 0
    era: int = 1
    last: str = BOOK_FILE
    kind: str = ""
    day: date = date.min

    def entry(self, number: int) -> Entry:
        """Return the entry of a number."""
        path = name_of(number)
        try:
            document, sha256 = _read(self.folder, path)
        except FileNotFoundError:
            raise damaged(self.folder / path, "was there and is gone") from None
        kind, day = document["kind"], date.fromisoformat(document["day"])
        fault = self._fault(document, number, day)
        if fault is not None:
            raise damaged(self.folder / path, fault)
        self.number, self.head, self.last, self.kind, self.day = number, sha256, path, kind, day
        return entry_of(self.folder, path, document, sha256)

    def _fault(self, document: dict[str, Any], number: int, day: date) -> str | None:
        kind = document["kind"]
        holds = {
            f"has the number {document['number']}, where {number} follows {self.last}": (
                document["number"] == number
            ),
            "is the first entry, which has to be a decision": kind == DECISION or number > 1,
            f"has the day {day}, which is not after {self.day}, that of {self.last}": (
                kind == DECISION or day > self.day
            ),
            f"is a decision of {day}, whose fills do not come right before it": (
                kind == RECONCILED or number == 1 or (self.kind, self.day) == (RECONCILED, day)
            ),
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


def entry_of(folder: Path, path: str, document: Mapping[str, Any], sha256: str) -> Entry:
    """Return the entry of a file in a book's folder, whose bytes have that hash."""
    day = date.fromisoformat(document["day"])
    whole = partial(_read_again, folder.absolute(), path, sha256)
    return Entry(document["kind"], day, brief_of(document), sha256, path, whole)


def last_day(folder: Path) -> date | None:
    """Return the last day that a book's chain has, by its last file; None while it has none."""
    count = _count(folder.absolute())
    if not count:
        return None
    document, _ = _read(folder.absolute(), name_of(count))
    return date.fromisoformat(document["day"])


def form_of(document: object) -> type:
    """Return the form that an entry has by its kind."""
    is_fills = isinstance(document, dict) and document.get("kind") == RECONCILED
    return FORMS[RECONCILED if is_fills else DECISION]


def _count(folder: Path, *, has_begun: bool = False) -> int:
    """Return how many entries a book has: the names of its chain go from 1 to that number, and no further.

    A book that has begun has their folder, whether or not it has entries.
    """
    numbers: list[int] = []
    for _ in range(LISTINGS):
        numbers = _numbers(folder, has_begun=has_begun)
        if numbers == list(range(1, len(numbers) + 1)):
            return len(numbers)
    missing = next(one for one, number in enumerate(numbers, 1) if one != number)
    raise damaged(folder / name_of(missing), f"is missing, and {name_of(numbers[-1])} is there")


def _numbers(folder: Path, *, has_begun: bool) -> list[int]:
    """Return the numbers that a listing of a book's entries has, in order."""
    try:
        names = names_in(folder.parent, f"{folder.name}/{CHAIN}")
    except FileNotFoundError:
        if has_begun:
            raise damaged(folder / CHAIN, f"is missing, and {BOOK_FILE} is there") from None
        return []
    except OSError as error:
        raise unreadable(folder / CHAIN, error) from error
    names = [one for one in names if not one.startswith(".")]
    for one in names:
        if not NAME.fullmatch(one) or one == NOUGHT:
            raise damaged(
                folder / CHAIN / one, f"is no entry, whose name is a number of six digits and {SUFFIX}"
            )
    return [int(one.removesuffix(SUFFIX)) for one in names]


def _read(folder: Path, path: str) -> tuple[dict[str, Any], str]:
    """Return a file's document, which has its form, and the hash of its bytes."""
    is_book = path == BOOK_FILE
    content = _whole(folder, path, DOCUMENT if is_book else ENTRY)
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
    fault = misfit(document, BookDocument if is_book else form_of(document))
    if fault is not None:
        raise damaged(folder / path, fault)
    assert isinstance(document, dict), "it has its form"
    if not is_book and document["kind"] not in FORMS:
        kinds = " or ".join(FORMS)
        raise damaged(folder / path, f"has the kind {document['kind']}, and an entry is of {kinds}")
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


@lru_cache(maxsize=4)
def _read_again(folder: Path, path: str, sha256: str) -> dict[str, Any]:
    """Return the document of a file that was read before; the last few stay, for what asks for neighbours."""
    try:
        content = _whole(folder, path, ENTRY)
    except FileNotFoundError:
        raise damaged(folder / path, "was there and is gone") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise damaged(folder / path, "was changed after it was read")
    found: dict[str, Any] = json.loads(content)
    return found


def _whole(folder: Path, path: str, kind: FileKind) -> bytes:
    try:
        return read_file(folder.parent, f"{folder.name}/{path}", kind)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(folder / path, error) from error


def unreadable(path: Path, error: OSError) -> StageError:
    """Return the error of a file that is not as it should be, or of a volume that does not answer."""
    if isinstance(error, DamagedFileError):
        return damaged(error.path, error.fault)
    if isinstance(error, PermissionError | NotADirectoryError):
        return damaged(path, fault_of(error))
    return from_os_error(error, path)

"""The kill switch of a book: a file HALT in its folder, which every night obeys.

    HALT                      {"state": "HALTED" or "REDUCING", "why": text, "at": moment}
    halts/<moment>.json       the same with resumedAt, resumedWhy, resumedDay and resetDrawdown, after it was
                              lifted; or after a HALTED took its place, without resumedDay

A HALT with any other content, or one that cannot be read, counts as HALTED: no doubt lets an order pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import DamagedFileError, StageError, from_os_error
from qlib_shadow_runner.ledger.book import write_new
from qlib_shadow_runner.ledger.chain import SUFFIX, last_day, unreadable
from qlib_shadow_runner.ledger.entries import BOOK_FILE, HALT_FILE, HALTS, encode, written
from qlib_shadow_runner.runs import values
from qlib_shadow_runner.storage.files import sync_folder, write_atomically
from qlib_shadow_runner.storage.relative_names import UnsafeNameError
from qlib_shadow_runner.storage.untrusted import fault_of, is_file, names_in, read_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

HALTED: Final = "HALTED"
REDUCING: Final = "REDUCING"
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Halt:
    """A kill switch: one that is on, or one that was."""

    state: str
    """HALTED or REDUCING; empty for a resume without a HALT, which only lets the peak begin again."""
    why: str
    at: datetime | None
    """In UTC; None where the file does not say it."""
    resumed_at: datetime | None = None
    resumed_why: str = ""
    resumed_day: date | None = None
    """The last day of the chain when it was lifted."""
    reset_drawdown: bool = False
    """Whether the peak from which drawdown counts begins again with that day."""

    def document(self) -> dict[str, Any]:
        """Return it as its file has it."""
        found: dict[str, Any] = {"state": self.state, "why": self.why, "at": _written(self.at)}
        if self.resumed_at is not None:
            day = self.resumed_day
            found |= {"resumedAt": _written(self.resumed_at), "resumedWhy": self.resumed_why}
            found |= {"resumedDay": day.isoformat() if day else None, "resetDrawdown": self.reset_drawdown}
        return found

    def holds_at(self, moment: datetime) -> bool:
        """Return whether it was on at a moment; one that does not say since when was always on."""
        began = self.at is None or self.at <= moment
        return bool(self.state) and began and (self.resumed_at is None or moment < self.resumed_at)


def halt_of(folder: Path) -> Halt | None:
    """Return the kill switch that is on, or None."""
    try:
        document = read_object(folder.parent, f"{folder.name}/{HALT_FILE}")
    except FileNotFoundError:
        return None
    except OSError as error:
        return Halt(HALTED, f"{HALT_FILE} {fault_of(error)}", None)
    state, why, at = document.get("state"), values.text(document.get("why")), _moment(document.get("at"))
    if state not in (HALTED, REDUCING):
        return Halt(HALTED, f"{HALT_FILE} has neither the state {HALTED} nor {REDUCING}", at)
    return Halt(str(state), why or "", at)


def halt(folder: Path, why: str, *, reducing: bool, now: datetime) -> Halt:
    """Put the kill switch on; the book must exist.

    A HALTED takes the place of what is on, which is kept as one that ended there: it has stopped the fills of
    its own hours. A REDUCING takes no place, not even that of a HALTED that comes in the same moment.
    """
    _require_book(folder)
    found = Halt(REDUCING if reducing else HALTED, _plain(why), now)
    content = encode(found.document())
    try:
        if reducing:
            if not write_new(folder / HALT_FILE, content):
                said = f"the kill switch of {folder.name} is on already, and REDUCING takes the place of none"
                raise StageError(Reason.INVALID_SPEC, said)
            return found
        was = halt_of(folder)
        if was is not None:
            _keep(folder, replace(was, resumed_at=now, resumed_why=_plain(f"{HALTED} in its place: {why}")))
        write_atomically(folder / HALT_FILE, content)
        sync_folder(folder)
    except OSError as error:
        raise from_os_error(error) from error
    return found


def resume(folder: Path, why: str, now: datetime, *, reset_drawdown: bool = False) -> Halt:
    """Lift the kill switch; the peak from which drawdown counts begins again only where that is asked.

    The record of it comes first: whatever happens then, the switch is on or its record is there.
    """
    _require_book(folder)
    was = halt_of(folder) or Halt("", "", None)
    found = Halt(was.state, _plain(was.why), was.at, now, _plain(why), last_day(folder), reset_drawdown)
    try:
        _keep(folder, found)
        (folder / HALT_FILE).unlink(missing_ok=True)
        sync_folder(folder)
    except OSError as error:
        raise from_os_error(error) from error
    return found


def history(folder: Path) -> tuple[Halt, ...]:
    """Return those that were lifted or replaced, the first first; files of another form are left out.

    A folder or file that is there and cannot be read raises: it may be what stops an order.
    """
    try:
        names = names_in(folder.parent, f"{folder.name}/{HALTS}")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise unreadable(folder / HALTS, error) from error
    paths = (f"{HALTS}/{name}" for name in names if name.endswith(SUFFIX) and not name.startswith("."))
    documents = (_document(folder, path) for path in paths)
    found = [_lifted(one) for one in documents if one is not None]
    return tuple(sorted((one for one in found if one), key=lambda one: one.resumed_at or LONG_AGO))


def peaks_begun(lifted: Iterable[Halt]) -> set[date]:
    """Return the days from which drawdown counts again: no other resume forgives a loss."""
    return {one.resumed_day for one in lifted if one.reset_drawdown and one.resumed_day is not None}


def state_at(halts: Iterable[Halt], moment: datetime) -> Halt | None:
    """Return the kill switch that was on at a moment: one that is HALTED before one that is REDUCING."""
    found = [one for one in halts if one.holds_at(moment)]
    return min(found, key=lambda one: one.state, default=None)


def _keep(folder: Path, ended: Halt) -> None:
    """Write a kill switch that ends to the history."""
    assert ended.resumed_at is not None, "it has ended"
    path = folder / HALTS / f"{ended.resumed_at.astimezone(UTC):%Y-%m-%dT%H%M%S.%fZ}{SUFFIX}"
    path.parent.mkdir(exist_ok=True)
    if not write_new(path, encode(replace(ended, why=_plain(ended.why)).document())):
        said = f"{path} is there: another has lifted or replaced the kill switch just now"
        raise StageError(Reason.LEDGER_LOCKED, said)


def _document(folder: Path, path: str) -> Mapping[str, object] | None:
    """Return the document of a file in the history, or None of what is none."""
    try:
        return read_object(folder.parent, f"{folder.name}/{path}")
    except (FileNotFoundError, DamagedFileError, UnsafeNameError):
        return None
    except OSError as error:
        raise unreadable(folder / path, error) from error


def _lifted(document: Mapping[str, object]) -> Halt | None:
    resumed_at = _moment(document.get("resumedAt"))
    if resumed_at is None:
        return None
    state = document.get("state")
    return Halt(
        state=str(state) if state in (HALTED, REDUCING, "") else HALTED,
        why=values.text(document.get("why")) or "",
        at=_moment(document.get("at")),
        resumed_at=resumed_at,
        resumed_why=values.text(document.get("resumedWhy")) or "",
        resumed_day=values.day(document.get("resumedDay")),
        reset_drawdown=document.get("resetDrawdown") is True,
    )


def _plain(text: str) -> str:
    """Return a text that can be written: an argument of a command may hold bytes that are none."""
    return text.encode(errors="replace").decode()


def _require_book(folder: Path) -> None:
    if not is_file(folder.parent, f"{folder.name}/{BOOK_FILE}"):
        raise StageError(Reason.INVALID_SPEC, f"there is no book {folder.name} in {folder.parent}")


def _moment(value: object) -> datetime | None:
    found = values.moment(value)
    return None if found is None else found.replace(tzinfo=UTC)


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else written(moment)

"""The kill switch of a book: a file HALT in its folder, which every night obeys.

    HALT                      {"state": "HALTED" or "REDUCING", "why": text, "at": moment}
    halts/<moment>.json       the same with resumedAt, resumedWhy, resumedDay and resetDrawdown, after it was
                              lifted

A HALT with any other content, or one that cannot be read, counts as HALTED: no doubt lets an order pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError, from_os_error
from qlib_shadow_runner.ledger.book import write_new
from qlib_shadow_runner.ledger.chain import SUFFIX, last_day
from qlib_shadow_runner.ledger.entries import BOOK_FILE, HALT_FILE, HALTS, encode
from qlib_shadow_runner.runs import values
from qlib_shadow_runner.storage.files import read_json_object_of_others, sync_folder, write_atomically
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
        found = {"state": self.state, "why": self.why, "at": _written(self.at)}
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
    """Put the kill switch on, in place of one that is on; the book must exist."""
    _require_book(folder)
    found = Halt(REDUCING if reducing else HALTED, _plain(why), now)
    try:
        write_atomically(folder / HALT_FILE, encode(found.document()))
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
    path = folder / HALTS / f"{now.astimezone(UTC):%Y-%m-%dT%H%M%S.%fZ}{SUFFIX}"
    try:
        path.parent.mkdir(exist_ok=True)
        if not write_new(path, encode(found.document())):
            raise StageError(Reason.LEDGER_LOCKED, f"{path} is there: another has lifted it just now")
        (folder / HALT_FILE).unlink(missing_ok=True)
        sync_folder(folder)
    except OSError as error:
        raise from_os_error(error) from error
    return found


def history(folder: Path) -> tuple[Halt, ...]:
    """Return those that were lifted, the first first; files of another form are left out."""
    try:
        names = names_in(folder.parent, f"{folder.name}/{HALTS}")
    except OSError:  # there is none, or it is no folder: then nothing was lifted
        return ()
    paths = (folder / HALTS / name for name in names if name.endswith(SUFFIX) and not name.startswith("."))
    documents = (read_json_object_of_others(path, folder.parent) for path in paths)
    found = [_lifted(one) for one in documents if one is not None]
    return tuple(sorted((one for one in found if one), key=lambda one: one.resumed_at or LONG_AGO))


def peaks_begun(lifted: Iterable[Halt]) -> set[date]:
    """Return the days from which drawdown counts again: no other resume forgives a loss."""
    return {one.resumed_day for one in lifted if one.reset_drawdown and one.resumed_day is not None}


def state_at(halts: Iterable[Halt], moment: datetime) -> Halt | None:
    """Return the kill switch that was on at a moment: one that is HALTED before one that is REDUCING."""
    found = [one for one in halts if one.holds_at(moment)]
    return min(found, key=lambda one: one.state, default=None)


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
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

"""`qlib-shadow ledger`: read, check, halt and resume the books of a volume."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.entries import LEDGERS
from qlib_shadow_runner.ledger.overview import books
from qlib_shadow_runner.runs.listing import artifacts_root, existing_volume
from qlib_shadow_runner.storage.untrusted import why_unreadable
from qlib_shadow_runner.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume


@dataclass(frozen=True)
class Action:
    """One thing to do with a book."""

    function: str
    options: tuple[str, ...] = ()
    """The options, besides --data and --json, that it takes."""
    takes_run: bool = False


ACTIONS: Final[Mapping[str, Action]] = {
    "show": Action("cli.ledger_show:show", ("portfolio",)),
    "orders": Action("cli.ledger_days:print_orders", ("day",)),
    "positions": Action("cli.ledger_days:print_positions", ("day",)),
    "nav": Action("cli.ledger_days:print_nav"),
    "diff": Action("cli.ledger_diff:print_difference", takes_run=True),
    "trend": Action("cli.ledger_days:print_trend", ("weeks",)),
    "verify": Action("cli.ledger_changes:print_verification", ("head",)),
    "halt": Action("cli.ledger_changes:halt_book", ("why", "reducing")),
    "resume": Action("cli.ledger_changes:resume_book", ("why", "reset-drawdown")),
}
"""What can be done, and the function that does it."""


@dataclass(frozen=True)
class Asked:
    """What was typed after `qlib-shadow ledger`."""

    action: str
    book: str | None
    run: str | None
    data: Path
    options: Mapping[str, Any]
    """The values of the action's own options."""
    as_json: bool

    @property
    def volume(self) -> Volume:
        """Return the volume, which must exist."""
        return existing_volume(self.data)

    @property
    def ledgers(self) -> Path:
        """Return the folder of all books."""
        return artifacts_root(self.volume) / LEDGERS

    def folder(self) -> Path:
        """Return the folder of the book that was named, or of the only one."""
        names = known_books(self.ledgers)
        if not names:
            raise StageError(
                Reason.INVALID_SPEC, f"there are no books in {self.data}; a run with spec.ledger begins one"
            )
        if self.book is None and len(names) > 1:
            raise StageError(
                Reason.INVALID_SPEC,
                f"there are {len(names)} books in {self.data}; name one after ledger {self.action}: "
                f"{', '.join(names)}",
            )
        if self.book is not None and self.book not in names:
            hint = did_you_mean(self.book, names)
            raise StageError(
                Reason.INVALID_SPEC, f'there is no book "{self.book[:80]}" in {self.data}; {hint}'
            )
        return self.ledgers / (self.book or names[0])


def use_ledger(
    action: str,
    data: Path,
    *,
    book: str | None,
    run: str | None,
    day: str | None,
    weeks: str | None,
    head: str | None,
    why: str | None,
    reducing: bool,
    reset_drawdown: bool,
    portfolio: bool,
    as_json: bool,
) -> int:
    """Do what was asked for, or refuse what does not belong to it."""
    options: dict[str, Any] = {"day": day, "weeks": weeks, "head": head, "why": why}
    options |= {"reducing": reducing, "reset-drawdown": reset_drawdown, "portfolio": portfolio}
    row = ACTIONS[action]
    for name, value in options.items():
        if value not in (None, False) and name not in row.options:
            takers = " and ".join(f"ledger {one}" for one, its in ACTIONS.items() if name in its.options)
            raise StageError(
                Reason.INVALID_SPEC, f"--{name} is an option of {takers}, not of ledger {action}"
            )
    if run is not None and not row.takes_run:
        raise StageError(Reason.INVALID_SPEC, f'ledger {action} takes one book; leave "{run[:80]}" out')
    module, _, function = row.function.partition(":")
    work: Callable[[Asked], int] = getattr(import_module(f"qlib_shadow_runner.{module}"), function)
    own = {name: options[name] for name in row.options}
    return work(Asked(action, book, run, data, own, as_json))


def known_books(ledgers: Path) -> list[str]:
    """Return the names of all books; a folder that cannot be read is refused."""
    try:
        return books(ledgers)
    except OSError as error:
        raise StageError(
            Reason.INVALID_SPEC, f"the books cannot be listed: {why_unreadable(error)}"
        ) from error

"""`qlib-shadow ledger verify, halt and resume`: check a book, and use its kill switch."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.catalog.book_sources import VolumeSources
from qlib_shadow_runner.catalog.books import dataset_of
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.contract.escapes import shorten
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger import halts
from qlib_shadow_runner.ledger.check import check_book
from qlib_shadow_runner.ledger.documents import verification_document
from qlib_shadow_runner.ledger.entries import Verdict
from qlib_shadow_runner.ledger.overview import overview
from qlib_shadow_runner.ledger.tables import refresh_tables
from qlib_shadow_runner.printing import print_error, print_json, print_line, print_lines

if TYPE_CHECKING:
    from qlib_shadow_runner.cli.ledger_command import Asked
    from qlib_shadow_runner.ledger.check import Checked
    from qlib_shadow_runner.ledger.overview import Overview

HASH: Final = re.compile("[0-9a-f]{64}")
WHY_MAX: Final = 500
DRAWDOWN: Final = "drawdown"
"""The gate that a reset of the drawdown opens."""


def print_verification(asked: Asked) -> int:
    """Print what does not hold in a book, and what other data explains; make its tables again if it holds."""
    head = asked.options["head"]
    if head is not None and not HASH.fullmatch(head):
        raise StageError(
            Reason.INVALID_SPEC,
            f'--head must be the 64 digits of a SHA-256, as status.ledger.head has it, not "{head[:80]}"',
        )
    folder = asked.folder()
    dataset = dataset_of(asked.volume, folder)
    checked = check_book(folder, dataset, head, VolumeSources(asked.volume))
    findings = checked.findings
    if not findings:
        note = refresh_tables(folder)
        if note:
            print_error(f"note: {note}")
    now = overview(folder)
    if asked.as_json:
        prices = None if dataset is None else dataset.folder
        print_json(verification_document(now, checked, head, prices))
    else:
        _print_checked(folder.name, checked, has_prices=dataset is not None, has_head=bool(head))
    if checked.is_newer:
        return ExitCode.BAD_CONFIG
    return ExitCode.LEDGER_DAMAGED if findings else ExitCode.DONE


def _print_checked(book: str, checked: Checked, *, has_prices: bool, has_head: bool) -> None:
    """Print both: what does not hold, and what the data explains."""
    if checked.is_newer:
        print_lines([f"{book} cannot be checked:", *(f"  {one}" for one in checked.findings)])
        return
    if checked.findings:
        print_lines([f"{book} does not hold:", *(f"  {one}" for one in checked.findings)])
    else:
        print_line(f"{book} holds: {_held_to(checked, has_prices=has_prices, has_head=has_head)}")
    if checked.of_data:
        count = checked.of_data_count
        what = "1 difference comes" if count == 1 else f"{count} differences come"
        print_lines(
            [
                f"the data is another version now than on its nights; {what} from that, and no damage:",
                *(f"  {one}" for one in checked.of_data),
            ]
        )


def halt_book(asked: Asked) -> int:
    """Put the kill switch of a book on; one that is on is replaced only by a stronger one."""
    folder, why = asked.folder(), _why(asked)
    reducing = bool(asked.options["reducing"])
    on = halts.halt_of(folder)
    if on is not None and (reducing or on.state == halts.HALTED):
        more = (
            "" if on.state == halts.REDUCING else "; to let sales pass, resume it and halt it with --reducing"
        )
        raise StageError(
            Reason.INVALID_SPEC,
            f"{folder.name} is {_in_words(on.state)} already{_since(on)}: {on.why or 'no reason is given'}"
            f"{more if reducing else ''}",
        )
    made = halts.halt(folder, why, reducing=reducing, now=datetime.now(UTC))
    effect = "only sales are recorded" if reducing else "no orders are recorded"
    _print(asked, made, f"{folder.name} is {_in_words(made.state)} from now on, {effect}: {why}")
    return ExitCode.DONE


def resume_book(asked: Asked) -> int:
    """Lift the kill switch of a book; a loss is forgiven only where that is asked."""
    folder, why, resets = asked.folder(), _why(asked), bool(asked.options["reset-drawdown"])
    if halts.halt_of(folder) is None:
        reduces = _reduces_by_drawdown(overview(folder))
        if not (reduces and resets):
            more = (
                "and its drawdown lets only sales pass, which --reset-drawdown ends"
                if reduces
                else "so there is nothing to resume"
            )
            raise StageError(Reason.INVALID_SPEC, f"{folder.name} is not halted, {more}")
    made = halts.resume(folder, why, datetime.now(UTC), reset_drawdown=resets)
    _print(asked, made, f"{folder.name} goes on from the next night, and drawdown {_counts(made)}: {why}")
    return ExitCode.DONE


def _reduces_by_drawdown(before: Overview) -> bool:
    return any(gate.name == DRAWDOWN and gate.verdict == Verdict.REDUCE for gate in before.gates)


def _counts(made: halts.Halt) -> str:
    since = "now" if made.resumed_day is None else f"{made.resumed_day}"
    return f"counts from {since} on" if made.reset_drawdown else "counts as before"


def _why(asked: Asked) -> str:
    why = " ".join((asked.options["why"] or "").split())
    if not why:
        raise StageError(
            Reason.INVALID_SPEC,
            f"ledger {asked.action} needs --why with a reason, which the book keeps",
        )
    if len(why) > WHY_MAX:
        raise StageError(
            Reason.INVALID_SPEC, f"--why has {len(why)} characters, and a reason has at most {WHY_MAX}"
        )
    return why


def _in_words(state: str) -> str:
    return "reducing" if state == halts.REDUCING else "halted"


def _since(on: halts.Halt) -> str:
    return "" if on.at is None else f" since {on.at:%Y-%m-%d %H:%M} UTC"


def _held_to(checked: Checked, *, has_prices: bool, has_head: bool) -> str:
    left = checked.entries - checked.exact
    prices = "with the prices of now" if has_prices else "without prices, since its dataset is not here"
    own = f"{checked.exact} of them with the data of their night"
    parts = [
        f"{checked.entries} entry" if checked.entries == 1 else f"{checked.entries} entries",
        *([own] if checked.exact else []),
        *([prices if not checked.exact else f"the others {prices}"] if left or not checked.entries else []),
        *(["with the head that was given"] if has_head else []),
    ]
    unshown = "" if has_head else ". A forged chain is only found with --head"
    return shorten(", ".join(parts), WHY_MAX) + unshown


def _print(asked: Asked, made: halts.Halt, sentence: str) -> None:
    if asked.as_json:
        print_json({"book": asked.folder().name, **made.document()})
    else:
        print_line(sentence)

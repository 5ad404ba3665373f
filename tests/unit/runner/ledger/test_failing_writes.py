"""A disk that is full or broken at any write leaves a chain, which the next attempt goes on with."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.runner.ledger.small_market import BOOK, files_of, path_of

from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.check import verify_book
from qlib_shadow_runner.ledger.lock import locked_book
from qlib_shadow_runner.storage import lock as storage_lock
from qlib_shadow_runner.storage.files import fenced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.runner.ledger.small_market import SmallMarket

NIGHTS = 3


@pytest.fixture(scope="module")
def wanted(market: SmallMarket, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a book whose nights were not disturbed."""
    book = tmp_path_factory.mktemp("wanted") / BOOK
    for day in market.days[:NIGHTS]:
        market.record(book, day)
    return files_of(book)


def failing(real: Callable[..., Any], left: list[int], number: int) -> Callable[..., Any]:
    """Return a call that fails once, when the count has come to nought."""

    def call(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(number, os.strerror(number))
        return real(*arguments, **named)

    return call


@pytest.mark.parametrize("name", ["fsync", "link", "mkdir"])
@pytest.mark.parametrize(
    "failure",
    [
        (errno.ENOSPC, Reason.OUT_OF_DISK),
        (errno.EIO, Reason.INTERNAL_ERROR),
        (errno.EROFS, Reason.VOLUME_NOT_WRITABLE),
    ],
)
def test_each_write_that_fails_leaves_a_chain_that_the_next_attempt_goes_on_with(
    market: SmallMarket, book: Path, wanted: dict[str, bytes], name: str, failure: tuple[int, Reason]
):
    """Each call fails in one of the attempts, until one attempt passes all."""
    (number, reason), reasons = failure, []
    for day in market.days[:NIGHTS]:
        for count in range(1, 100):
            left = [count]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, name, failing(getattr(os, name), left, number))
                try:
                    market.record(book, day)
                except StageError as error:
                    reasons.append(error.reason)
            assert files_of(book).items() <= wanted.items()
            if files_of(book):
                Chain.read(book)
            if left[0] > 0:
                break
    assert files_of(book) == wanted
    assert set(reasons) == {reason}


def test_a_run_that_was_replaced_by_a_later_attempt_writes_nothing(market: SmallMarket, book: Path):
    """The fences of its lease are asked before each file."""
    market.record(book, market.days[0])
    before = files_of(book)

    def replaced() -> None:
        raise StageError(Reason.SUPERSEDED, "another attempt is at work")

    with fenced(replaced), pytest.raises(StageError, match="another attempt"):
        market.record(book, market.days[1])
    assert files_of(book) == before


def test_a_volume_without_hard_links_is_refused_with_what_to_use(
    market: SmallMarket, book: Path, monkeypatch: pytest.MonkeyPatch
):
    """Some FUSE and SMB file systems have none."""

    def no_links(source: Path, target: Path, **_named: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported", str(source), None, str(target))

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(StageError, match="has no hard links") as caught:
        market.record(book, market.days[0])
    assert caught.value.reason is Reason.VOLUME_NOT_WRITABLE


def test_an_entry_that_another_wrote_without_the_lock_is_not_replaced(
    market: SmallMarket, book: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of the same bytes it counts as written; else the attempt ends, and the next one reads what is there."""
    market.record(book, market.days[0])
    real = os.link

    def another_first(source: Path, target: Path, **named: Any) -> None:
        target.write_bytes(b"another's")
        real(source, target, **named)

    monkeypatch.setattr(os, "link", another_first)
    with pytest.raises(StageError, match="another run has written") as caught:
        market.record(book, market.days[1])
    assert (caught.value.reason, caught.value.exit_code) == (Reason.LEDGER_LOCKED, ExitCode.TRANSIENT)
    assert (book / path_of("fills", 1)).read_bytes() == b"another's"


def test_a_link_whose_answer_was_lost_counts_as_made(
    market: SmallMarket, tmp_path: Path, wanted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    """An NFS client asks again, and hears that the file exists, which it has made."""
    real = os.link

    def twice(source: Path, target: Path, **named: Any) -> None:
        real(source, target, **named)
        real(source, target, **named)

    monkeypatch.setattr(os, "link", twice)
    for day in market.days[:NIGHTS]:
        market.record(tmp_path / BOOK, day)
    assert files_of(tmp_path / BOOK) == wanted


def test_a_book_that_another_holds_for_long_is_locked_and_named(market: SmallMarket, book: Path):
    """The wait is bounded; the Job's retries go on waiting."""
    market.record(book, market.days[0])
    with locked_book(book), pytest.raises(StageError) as caught, locked_book(book, limit=0.0):
        pass
    assert (caught.value.reason, caught.value.exit_code) == (Reason.LEDGER_LOCKED, ExitCode.TRANSIENT)
    assert "has been writing the book us-shadow" in caught.value.message


def test_a_holder_that_lost_its_lease_writes_no_entry(
    market: SmallMarket, book: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where flock may not reach other nodes, a holder that was silent for long asks before each entry."""
    monkeypatch.setattr(storage_lock, "is_local", lambda _folder: False)
    market.record(book, market.days[0])
    before = files_of(book)
    lease = book.with_name(f".{BOOK}.lease")
    night_of_another = market.days[1]

    def clock() -> Any:
        lease.write_text('{"token": "of another"}')
        return market.night(book, night_of_another).clock()

    with pytest.raises(StageError, match="has taken over writing the book") as caught:
        market.record(book, night_of_another, clock=clock)
    assert caught.value.reason is Reason.LEDGER_LOCKED
    assert {path: files_of(book)[path] for path in before} == before
    assert not (book / path_of("decision", 1)).exists()
    lease.unlink()
    assert market.record(book, night_of_another).new
    assert verify_book(book, market.dataset(night_of_another)) == []

"""Whatever a forger writes into a chain, with hashes that fit, no night and no check of it fails by itself.

QLIB_SHADOW_CHAOS_LEDGER_STORIES asks for more forgeries.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runner.ledger.small_market import BOOK, RULES, files_of, path_of
from tests.unit.runner.ledger.test_verifying_books import leaves

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.check import verify_book
from qlib_shadow_runner.ledger.entries import BOOK_FILE, BookDocument, DayDocument, FillDocument, encode
from qlib_shadow_runner.ledger.forms import misfit
from qlib_shadow_runner.ledger.overview import overview
from qlib_shadow_runner.ledger.rules import Targets, sha256_of_rules
from qlib_shadow_runner.ledger.tables import write_tables

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.runner.ledger.small_market import SmallMarket

FORGERIES: Final = int(os.environ.get("QLIB_SHADOW_CHAOS_LEDGER_STORIES", "30"))
STRICT: Final = replace(
    RULES,
    decide_before="09:00 America/New_York",
    unfilled="Carry",
    slices=2,
    targets=Targets(topk=3, n_drop=1, weights="equal"),
)
NUMBERS: Final = (0, 0.0, -5, -1.0, 3.7, 1e-300, 1e30, 1e308, -1e308, 2**62)
TEXTS: Final = (
    *("", "x", "x" * 3000, "\0", "buy", "sell", "Held", "Reducing", "HALTED", "unknown"),
    *("2026-13-01", "2026-03-04", "2026-03-07", "1900-01-01", "2099-12-31", "2026-03-04T22:00:00"),
)
FILES: Final = (BOOK_FILE, path_of("decision", 1), path_of("decision", 2), path_of("fills", 2))


@pytest.fixture(scope="module")
def sound(market: SmallMarket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a book with everything that a book can have."""
    book = tmp_path_factory.mktemp("sound") / BOOK
    for day in market.days[:3]:
        market.record(book, day, rules=STRICT)
    return book


@settings(max_examples=FORGERIES, deadline=None)
@given(st.data())
def test_random_forgeries_are_damage_or_findings_and_never_an_error_of_their_own(
    market: SmallMarket, sound: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    """A night either is recorded, which the head tells, or names the file."""
    book = shutil.copytree(sound, tmp_path_factory.mktemp("forged") / BOOK)
    name = data.draw(st.sampled_from(FILES))
    document = json.loads((book / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        alter(document, data)
    if name == BOOK_FILE and data.draw(st.booleans()):
        # All decisions name the forged rules: nothing of the chain tells.
        digest = sha256_of_rules(document["rules"])
        rewrite_all(book, name, document, rulesSha256=digest)
    else:
        rewrite_all(book, name, document)
    verify_book(book)
    verify_book(book, market.dataset())
    reason = Reason.LEDGER_DAMAGED
    try:
        market.record(book, market.days[4], rules=STRICT)
    except StageError as error:
        reason = error.reason
    assert reason in (Reason.LEDGER_DAMAGED, Reason.LEDGER_REFUSED)
    shutil.rmtree(book.parent)


NASTY: Final[tuple[Any, ...]] = (
    *(None, True, -1, 0, 1e-310, 1e308, 10**400, "", "NaN", "x" * 3000, "\0", [], {}, [0] * 5000),
    *("2026-03-04T22:00:00", "0001-01-01T00:00:00Z", "9999-12-31", "0001-01-01", "NOPE", "foo"),
)
"""Another type, a number that overflows, a moment without a zone, an exchange or a day that there is not."""


@pytest.mark.parametrize("name", FILES)
def test_no_nasty_value_of_any_field_is_an_error_of_its_own(
    market: SmallMarket, sound: Path, tmp_path: Path, name: str
):
    """Reading, recording, checking, showing and the tables name the file, or take the value as it is."""
    book = shutil.copytree(sound, tmp_path / "ledgers" / BOOK)
    names = [BOOK_FILE, *(one.path for one in Chain.read(book).entries)]
    whole = files_of(book)
    document = json.loads(whole[name])
    form = {None: BookDocument, "decision": DayDocument, "fills": FillDocument}[document.get("kind")]
    asked = {tuple("" if isinstance(key, int) else key for key in one): one for one in leaves(document)}
    forgeries = [(leaf, value) for leaf in asked.values() for value in NASTY]
    taken = [one for one in forgeries if misfit(with_value(document, *one), form) is None]
    assert len(taken) < len(forgeries) / 3
    for leaf, value in taken[:: max(1, 200 // FORGERIES)]:
        rewrite_all(book, name, with_value(document, leaf, value), names)
        is_taken_or_named(market, book)
        shutil.rmtree(book)
        shutil.copytree(sound, book)


def with_value(document: dict[str, Any], leaf: tuple[Any, ...], value: object) -> dict[str, Any]:
    """Return a document of which one value is another."""
    forged = copy.deepcopy(document)
    place: Any = forged
    for key in leaf[:-1]:
        place = place[key]
    place[leaf[-1]] = value
    return forged


def is_taken_or_named(market: SmallMarket, book: Path) -> None:
    """Check that nothing that reads a book fails by itself."""
    verify_book(book)
    verify_book(book, market.dataset())
    overview(book)
    for work in (lambda: write_tables(book), lambda: market.record(book, market.days[4], rules=STRICT)):
        reason = Reason.LEDGER_DAMAGED
        try:
            work()
        except StageError as error:
            reason = error.reason
        assert reason in (Reason.LEDGER_DAMAGED, Reason.LEDGER_REFUSED)


def alter(document: dict[str, Any], data: st.DataObject) -> None:
    """Change one value, or let a list have an item twice."""
    path = data.draw(
        st.sampled_from([one for one in leaves(document) if one[0] not in ("previous", "number")])
    )
    place: Any = document
    for key in path[:-1]:
        if isinstance(place, list) and data.draw(st.integers(0, 9)) == 0:
            place.append(copy.deepcopy(place[key]))
        place = place[key]
    value = place[path[-1]]
    if data.draw(st.integers(0, 9)) == 0:
        place[path[-1]] = None
    elif isinstance(value, bool):
        place[path[-1]] = not value
    elif isinstance(value, int | float):
        place[path[-1]] = data.draw(st.sampled_from(NUMBERS))
    else:
        place[path[-1]] = data.draw(st.sampled_from(TEXTS))


def rewrite_all(
    book: Path, name: str, document: dict[str, Any], names: list[str] | None = None, **of_decisions: str
) -> None:
    """Write a document, and all entries after it with the hashes that follow."""
    names = names or [BOOK_FILE, *(one.path for one in Chain.read(book).entries)]
    head: str | None = None
    for one in names[names.index(name) :]:
        now = document if head is None else {**json.loads((book / one).read_bytes()), "previous": head}
        if one.startswith("days"):
            now |= of_decisions
        (book / one).write_bytes(encode(now))
        head = hashlib.sha256(encode(now)).hexdigest()

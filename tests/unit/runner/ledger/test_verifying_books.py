"""What is changed in a book is found: by its hashes, by recomputing it, and a whole forgery by its head."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runner.ledger.small_market import BOOK, SmallMarket, files_of, path_of

from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.check import verify_book
from qlib_shadow_runner.ledger.entries import encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NIGHTS: Final = 4
OTHERS: Final = {"Decided": "Held", "sell": "buy", "buy": "sell", "open": "closed"}
FROM_OUTSIDE: Final = (
    "run",
    "recordedAt",
    "promise",
    "benchmark",
    "notes",
    "scores",
    "era",
    "schema",
    "kind",
    "day",
    "number",
    "previous",
    "rulesSha256",
)
"""What no other field follows from or leads to, besides what the chain itself holds."""


@pytest.fixture(scope="module")
def sound(market: SmallMarket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a book of some nights that is not changed."""
    book = tmp_path_factory.mktemp("sound") / BOOK
    for day in market.days[:NIGHTS]:
        market.record(book, day)
    return book


@pytest.fixture
def copied(sound: Path, tmp_path: Path) -> Path:
    """Return the same book, to be changed."""
    return shutil.copytree(sound, tmp_path / "ledgers" / BOOK)


def test_a_sound_book_has_no_findings_with_and_without_prices(market: SmallMarket, sound: Path):
    """Every earlier head is one of the chain as well."""
    chain = Chain.read(sound)
    for entry in chain.entries:
        assert verify_book(sound, head=entry.sha256) == []
    assert verify_book(sound, market.dataset(market.days[NIGHTS - 1]), chain.head) == []
    assert verify_book(sound, market.dataset()) == []


def test_a_book_holds_with_prices_that_were_restated_since(sound: Path, tmp_path: Path):
    """Each dividend changes all adjusted prices before it."""
    restated = SmallMarket(tmp_path, restated={"AAA": 0.51, "BBB": 1.09, "EEE": 0.333})
    assert verify_book(sound, restated.dataset()) == []
    other = SmallMarket(tmp_path, seed=7)
    assert f"{path_of('decision', 0)}: orders[0]." in verify_book(sound, other.dataset())[0]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_changed_byte_is_found(sound: Path, data: st.DataObject):
    """The head that was kept elsewhere pins the last entry, and each entry the one before."""
    head = Chain.read(sound).head
    name = data.draw(st.sampled_from(sorted(files_of(sound))))
    content = bytearray((sound / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    kept = (sound / name).read_bytes()
    try:
        (sound / name).write_bytes(content)
        assert verify_book(sound, head=head)
    finally:
        (sound / name).write_bytes(kept)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value in a document."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from leaves(part, (*path, key))
    if not isinstance(value, dict | list):
        yield path


def alike(path: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what the paths of all items of a list have in common, but for those of the gates."""
    return path if path[0] == "gates" else tuple("" if isinstance(key, int) else key for key in path)


def changed(document: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    """Return a document of which one value is another one of its form."""
    document = copy.deepcopy(document)
    *outer, last = path
    place: Any = document
    for key in outer:
        place = place[key]
    value = place[last]
    if isinstance(value, bool):
        place[last] = not value
    elif isinstance(value, int | float):
        place[last] = value + 1 if isinstance(value, int) else value * 1.01 + 0.01
    else:
        place[last] = {"Decided": "Held", "sell": "buy", "buy": "sell", "open": "closed"}.get(
            value, "2026-03-01"
        )
    return document


def forged(book: Path, path: str, document: dict[str, Any]) -> None:
    """Put a document in the place of an entry, and give all entries after it the hashes that follow."""
    chain = Chain.read(book)
    head: str | None = None
    for entry in chain.entries:
        now = document if entry.path == path else dict(entry.document)
        if head is not None:
            now = {**now, "previous": head}
        if head is not None or entry.path == path:
            (book / entry.path).write_bytes(encode(now))
            head = hashlib.sha256(encode(now)).hexdigest()


@pytest.mark.parametrize("kind", ["decision", "fills"])
def test_every_changed_field_that_follows_from_others_is_found_without_a_head(
    market: SmallMarket, copied: Path, kind: str
):
    """The forger has written all later hashes again; only recomputing shows the field."""
    path = path_of(kind, 2)
    sound, dataset = files_of(copied), market.dataset()
    document = json.loads(sound[path])
    asked = {alike(one): one for one in leaves(document) if one[0] not in FROM_OUTSIDE}
    missed = []
    for leaf in asked.values():
        if leaf[0] == "gates" and document["gates"][leaf[1]]["gate"] in ("dataAge", "coverage"):
            continue  # another figure of the run that passes as well
        if leaf[-1] == "sentence":
            continue
        forged(copied, path, changed(document, leaf))
        if not verify_book(copied, dataset):
            missed.append(leaf)
        for name, content in sound.items():
            (copied / name).write_bytes(content)
    assert len(asked) > 25
    assert missed == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("account", "nav"), "account.nav is"),
        (("account", "positions", 0, "weight"), "account.positions[0].weight is"),
        (("account", "positions", 0, "amount"), "account.positions[0].shares is"),
        (("costs",), "costs is"),
        (("fills", 0, "value"), "traded is"),
        (("fills", 0, "order"), "fills is"),
        (("pnl",), "pnl is"),
        (("dayReturn",), "dayReturn is"),
    ],
)
def test_sums_are_held_without_prices(copied: Path, path: tuple[Any, ...], said: str):
    """The finding names file and field."""
    name = path_of("fills", 2)
    forged(copied, name, changed(json.loads((copied / name).read_bytes()), path))
    assert any(one.startswith(f"{name}: {said}") for one in verify_book(copied)), verify_book(copied)


def test_a_chain_that_was_written_again_as_a_whole_is_found_by_its_head_alone(
    market: SmallMarket, sound: Path, tmp_path: Path
):
    """Whoever can write the volume can record other nights from the beginning."""
    head = Chain.read(sound).head
    forgery = tmp_path / BOOK
    for day in market.days[:NIGHTS]:
        scores = dict.fromkeys(("FFF", "EEE", "DDD", "CCC"), 1.0)
        market.record(forgery, day, scores=scores)
    dataset = market.dataset()
    assert verify_book(forgery, dataset) == []
    found = verify_book(forgery, dataset, head)
    assert len(found) == 1
    assert f"no entry has the hash {head}" in found[0]


def test_a_chain_that_was_cut_is_found_by_its_head_alone(market: SmallMarket, copied: Path):
    """Without its last entries a chain is the chain of some nights before."""
    head = Chain.read(copied).head
    for kind in ("decision", "fills"):
        (copied / path_of(kind, NIGHTS - 1)).unlink()
    assert verify_book(copied, market.dataset()) == []
    assert len(verify_book(copied, market.dataset(), head)) == 1


def test_a_peak_that_nothing_has_let_begin_is_found(market: SmallMarket, copied: Path):
    """A later peak hides a drawdown."""
    path, last = path_of("decision", 3), market.days[2].isoformat()
    forged(copied, path, {**json.loads((copied / path).read_bytes()), "peakSince": last})
    assert f"{path}: peakSince is {last}, and nothing in halts reset" in verify_book(copied)[0]


def test_a_book_in_the_folder_of_another_is_found(market: SmallMarket, copied: Path):
    """Its entries name the book."""
    found = verify_book(copied.rename(copied.with_name("eu-shadow")), market.dataset())
    assert found == ["BOOK.json: book is us-shadow, and its folder eu-shadow"]


def test_a_trading_day_that_was_left_out_is_found_with_prices(market: SmallMarket, copied: Path):
    """The dataset's calendar has it."""
    fewer = SmallMarket(copied.parent, days=(*market.days[:1], *market.days[2:]), seed=market.seed)
    book = copied.parent / "fewer" / BOOK
    for day in fewer.days[:2]:
        fewer.record(book, day)
    assert verify_book(book) == []
    found = verify_book(book, market.dataset())
    assert f"{path_of('fills', 1)}: day is" in found[0]
    assert f"{market.days[1]}, the dataset's next trading day" in found[0]

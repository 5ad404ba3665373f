"""What is changed in a book is found: by its hashes, by recomputing it, and a whole forgery by its head."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runner.ledger.small_market import BOOK, RULES, SmallMarket, files_of, path_of, sessions_from

from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.ledger.chain import Chain
from qlib_shadow_runner.ledger.check import A_DAY, check_book, verify_book
from qlib_shadow_runner.ledger.entries import encode
from qlib_shadow_runner.ledger.halts import halt, resume
from qlib_shadow_runner.ledger.quotes import Quotes
from qlib_shadow_runner.ledger.sources import NoSources, Signals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from qlib_shadow_runner.ledger.rules import Rules

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


@dataclass(frozen=True)
class Kept(NoSources):
    """The data of every night, and signals, which are all still there."""

    market: SmallMarket
    scores: Mapping[date, Mapping[str, float]] = field(default_factory=dict)

    def dataset(self, run: Mapping[str, Any]) -> Dataset | None:
        """Return the data that a night of the market names."""
        return self.market.dataset(self.market.days[int(run["datasetFingerprint"], 16)])

    def signals(self, run: Mapping[str, Any], day: date) -> Signals | None:
        """Return the signals of a day."""
        del run
        return Signals(self.scores[day], {}) if day in self.scores else None


class Whole(Kept):
    """Data that says of itself that it is that of each night, and has days that the night's had not."""

    def dataset(self, run: Mapping[str, Any]) -> Dataset | None:
        """Return the whole data."""
        del run
        return self.market.dataset()


NIGHTS_LATER: Final = slice(2, 2 + NIGHTS)
"""Nights with a weekend in between."""


def changed_data(market: SmallMarket, folder: Path, change: str) -> Dataset:
    """Return the data of a book's nights as a later version of it may have it."""
    days = market.days
    others: dict[str, dict[str, Any]] = {
        "restated": {"restated": {"AAA": 0.5113, "BBB": 1.0911, "CCC": 0.7771, "EEE": 0.3337}},
        "other prices": {"seed": 7},
        "a day more in the past": {"days": (*days[:5], date(2026, 3, 7), *days[5:])},
        "a day less": {"days": (*days[:4], *days[5:])},
    }
    if change in others:
        return SmallMarket(folder, **others[change]).dataset(days[5])
    shutil.copytree(market.dataset(days[3 if change == "it is shorter" else 5]).folder, folder / "copied")
    if change == "an instrument has gone":
        shutil.rmtree(folder / "copied" / "features" / "aaa")
    if change == "a bar came late":
        path = folder / "copied" / "features" / "ccc" / "close.day.bin"
        path.write_bytes(path.read_bytes()[:-4])
    return Dataset(folder / "copied")


@pytest.mark.parametrize(
    "change",
    [
        *("restated", "other prices", "a day more in the past", "a day less", "it is shorter"),
        *("an instrument has gone", "a bar came late"),
    ],
)
@pytest.mark.parametrize("weights", [None, "inverseVol"])
def test_an_honest_book_holds_whatever_becomes_of_the_data(
    market: SmallMarket, tmp_path: Path, change: str, weights: str | None
):
    """With the data of its nights strictly; else differences are told as those of other data."""
    book, rules = tmp_path / "ledgers" / BOOK, rules_of(weights)
    for day in market.days[NIGHTS_LATER]:
        market.record(book, day, rules=rules)
    (tmp_path / "data").mkdir()
    other = changed_data(market, tmp_path / "data", change)
    found = check_book(book, other)
    assert found.findings == ()
    assert found.exact == 0
    assert change == "restated" or found.of_data_count > 0
    assert len(found.of_data) <= (A_DAY + 1) * found.entries
    assert all("from the data that is there now" in one or "more that follow" in one for one in found.of_data)
    strict = check_book(book, other, None, Kept(market))
    assert (strict.findings, strict.of_data_count, strict.exact) == ((), 0, 2 * NIGHTS - 1)


def rules_of(weights: str | None) -> Rules:
    """Return rules with everything that follows from more than prices."""
    targets = replace(RULES.targets, weights=weights)
    return replace(RULES, targets=targets, slices=3, decide_before="09:00 America/New_York")


def test_a_session_that_did_not_take_place_is_no_damage(tmp_path: Path):
    """The exchange closed on a day that its calendar had, so that the deadline was that of an earlier day."""
    days = sessions_from(date(2026, 3, 2), 9)
    (tmp_path / "m").mkdir()
    market = SmallMarket(tmp_path / "m", days=(*days[:3], *days[4:]))
    book = tmp_path / "ledgers" / BOOK
    for day in market.days[:6]:
        market.record(book, day, rules=rules_of(None))
    for sources in (None, Kept(market)):
        assert check_book(book, market.dataset(market.days[6]), None, sources).findings == ()


NOT_OF_DATA: Final[dict[str, Callable[[Any], object]]] = {
    "an order less": lambda one: one.update(orders=one["orders"][1:]),
    "an order more": lambda one: one["orders"].append(one["orders"][0]),
    "twice as much is bought": lambda one: one["orders"][-1].update(
        amount=one["orders"][-1]["amount"] * 2, shares=one["orders"][-1]["shares"] * 2
    ),
    "another share of the money": lambda one: one["orders"][-1].update(money_share=0.5),
    "another target": lambda one: one["targets"].update({next(iter(one["targets"])): 0.9}),
    "another turnover": lambda one: one["figures"].update(turnover=0.01),
    "an age of the data that is too small": lambda one: gate(one, "dataAge").update(figure=-1 + 1),
    "a gate that is closed": lambda one: gate(one, "drift").update(figure="drifting"),
    "a kill switch of which nothing tells": lambda one: one.update(
        gates=[{**one["gates"][0], "figure": "HALTED", "verdict": "closed"}],
        decision="Held",
        orders=[],
        targets={name["instrument"]: name["weight"] for name in one["account"]["positions"]},
        figures={**dict.fromkeys(one["figures"]), **standing_of(one)},
    ),
    "late, made in time by a later deadline": lambda one: one.update(decideBefore="2026-03-09T13:00:00Z"),
    "in time, made late by an earlier deadline": lambda one: one.update(
        decideBefore="2026-03-04T14:00:00Z", late=True
    ),
}
"""Forgeries of the decision of the third day, without its data."""


def gate(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a gate's answer."""
    found: dict[str, Any] = next(one for one in document["gates"] if one["gate"] == name)
    return found


def standing_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the figures that do not follow from the plan."""
    return {name: document["figures"][name] for name in ("drawdown", "dayReturn")}


@pytest.mark.parametrize("forgery", NOT_OF_DATA)
def test_a_decision_that_no_data_explains_is_damage_without_any_data(
    market: SmallMarket, tmp_path: Path, forgery: str
):
    """Orders follow from recorded account, signals, rules and prices; the rest from the calendar."""
    book = tmp_path / "ledgers" / BOOK
    for day in market.days[:3]:
        market.record(book, day, rules=rules_of(None))
    if "too small" in forgery:
        late = datetime.combine(market.days[2] + timedelta(days=20), time(22), UTC)
        shutil.rmtree(book)
        for day in market.days[:3]:
            market.record(book, day, clock=lambda: late)
    entry = Chain.read(book).entries[-1]
    document = json.loads((book / entry.path).read_bytes())
    NOT_OF_DATA[forgery](document)
    forged(book, entry.path, document)
    assert any(one.startswith(f"{entry.path}: ") for one in verify_book(book)), verify_book(book)


OF_A_DAY: Final = {
    "a losing fill that the kill switch is said to have stopped": lambda one: one["fills"].__setitem__(
        0,
        {
            **one["fills"][0],
            **dict.fromkeys(("shares", "amount", "value", "cost", "shortfall"), 0.0),
            "why": "the book was HALTED: x",
        },
    ),
    "a smaller cost": lambda one: one["fills"][0].update(cost=1.0),
    "a value that is not amount times price": lambda one: one["fills"][0].update(value=1.0),
    "days of a holding": lambda one: one["account"]["positions"][0].update(days=9),
}


@pytest.mark.parametrize("forgery", OF_A_DAY)
def test_a_trading_day_that_no_data_explains_is_damage_without_any_data(copied: Path, forgery: str):
    """Fills follow from amount, price and rules; stops from the kill switches that the book has kept."""
    entry = Chain.read(copied).fills[0]
    document = json.loads((copied / entry.path).read_bytes())
    OF_A_DAY[forgery](document)
    forged(copied, entry.path, document)
    said = "kill switch" if "kill switch" in forgery else ""
    found = verify_book(copied)
    assert any(one.startswith(f"{entry.path}: ") and said in one for one in found), found


def test_orders_that_a_kill_switch_has_stopped_hold(market: SmallMarket, tmp_path: Path):
    """It is still in the book's folder, on or lifted."""
    book, day = tmp_path / "ledgers" / BOOK, market.days[1]
    market.record(book, market.days[0])
    halt(book, "a fire", reducing=False, now=datetime.combine(day, time(14), UTC))
    market.record(book, day)
    assert verify_book(book, None, None, Kept(market)) == []
    resume(book, "it is out", datetime.combine(day, time(23), UTC))
    market.record(book, market.days[2])
    assert verify_book(book, None, None, Kept(market)) == []


def test_signals_and_benchmark_are_held_to_those_of_the_run(market: SmallMarket, tmp_path: Path):
    """Where its file of signals and its data are still there."""
    book, days = tmp_path / "ledgers" / BOOK, market.days[:3]
    scores = {day: market.night(book, day).scores for day in days}
    quotes = Quotes.of(market.dataset())
    returns = {
        day: quotes.get("close", "AAA", number) / quotes.get("close", "AAA", number - 1) - 1
        for number, day in enumerate(market.days)
        if number
    }
    for day in days:
        market.record(book, day, benchmark=returns, run={"benchmark": "AAA"})
    assert verify_book(book, None, None, Kept(market, scores)) == []
    fills, decision = Chain.read(book).entries[-2:]
    forged(book, fills.path, {**json.loads((book / fills.path).read_bytes()), "benchmark": -0.5})
    assert [one.partition(" is ")[0] for one in verify_book(book, None, None, Kept(market, scores))] == [
        f"{fills.path}: benchmark"
    ]
    others = {**scores, days[2]: dict.fromkeys(scores[days[2]], 0.5)}
    assert f"{decision.path}: scores is 'others'" in verify_book(book, None, None, Kept(market, others))[-1]


def test_a_forgery_with_which_nothing_can_be_computed_is_a_finding(copied: Path):
    """An exchange that there is not has no sessions."""
    rules = replace(RULES, calendar="NOPE")
    head: str | None = None
    for entry in Chain.read(copied).entries:
        document = json.loads((copied / entry.path).read_bytes())
        if head is not None:
            document["previous"] = head
        if entry.kind == "decision":
            document.update(era=2, rulesSha256=rules.sha256)
            document.update(rules=rules.document() if head is None else None)
        (copied / entry.path).write_bytes(encode(document))
        head = hashlib.sha256(encode(document)).hexdigest()
    assert any("cannot be computed again: spec.ledger.calendar" in one for one in verify_book(copied))


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
    sound, sources = files_of(copied), Kept(market)
    document = json.loads(sound[path])
    asked = {alike(one): one for one in leaves(document) if one[0] not in FROM_OUTSIDE}
    missed = []
    for leaf in asked.values():
        if leaf[0] == "gates" and document["gates"][leaf[1]]["gate"] == "coverage":
            continue  # another figure of the run that passes as well
        if leaf[-1] == "sentence":
            continue
        forged(copied, path, changed(document, leaf))
        if not verify_book(copied, None, None, sources):
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
    """Who can write the volume can record other nights from the beginning."""
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
    found = verify_book(book, None, None, Whole(market))
    assert f"{path_of('fills', 1)}: day is" in found[0]
    assert f"{market.days[1]}, the dataset's next trading day" in found[0]
    assert verify_book(book, market.dataset()) == []
    assert "day is" in check_book(book, market.dataset()).of_data[0]

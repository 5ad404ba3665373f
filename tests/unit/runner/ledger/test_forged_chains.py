"""A file that a book cannot have is LedgerDamaged, by name and with what is wrong; nothing is written."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict

import pytest
from tests.unit.runner.ledger.small_market import BOOK, RULES, files_of
from tests.unit.runner.special_files import DAMAGES, replace

from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.chain import Chain, last_day
from qlib_shadow_runner.ledger.check import verify_book
from qlib_shadow_runner.ledger.entries import encode
from qlib_shadow_runner.ledger.forms import misfit
from qlib_shadow_runner.ledger.rules import Costs, Rules, Targets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.runner.ledger.small_market import SmallMarket

DEPTH: Final = 150
PINNED: Final = "de36c97b99123cce040139e2b43becc39fcd46ef16b8b30fef185f0ff8d140bf"
"""The hash of the sample's rules, as the first version of a book has it."""
FILES: Final = ("BOOK.json", "chain/000003.json", "chain/000002.json")


@pytest.fixture(scope="module")
def sound(market: SmallMarket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a book of four nights that is not changed."""
    book = tmp_path_factory.mktemp("sound") / BOOK
    for day in market.days[:4]:
        market.record(book, day)
    return book


@pytest.fixture
def copied(sound: Path, tmp_path: Path) -> Path:
    """Return a book of four nights of one's own."""
    return shutil.copytree(sound, tmp_path / "ledgers" / BOOK)


def is_damaged(market: SmallMarket, book: Path, named: str, said: str) -> None:
    """Check that reading, recording and verifying name the file and the fault, and write nothing."""
    with pytest.raises(StageError) as caught:
        Chain.read(book)
    assert (caught.value.reason, caught.value.exit_code) == (Reason.LEDGER_DAMAGED, ExitCode.LEDGER_DAMAGED)
    assert named in caught.value.message
    assert said in caught.value.message
    assert verify_book(book) == [caught.value.message]
    before = sorted(path for path in book.rglob("*") if not path.name.startswith("."))
    with pytest.raises(StageError) as caught:
        market.record(book, market.days[5])
    assert caught.value.reason is Reason.LEDGER_DAMAGED
    assert sorted(path for path in book.rglob("*") if not path.name.startswith(".")) == before


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_document_is_named(market: SmallMarket, copied: Path, name: str, damage: str):
    """Links, FIFOs, folders, huge and deep files, and text that is none."""
    replace(copied / name, damage)
    is_damaged(market, copied, name, "")


@pytest.mark.parametrize("name", ["chain"])
@pytest.mark.parametrize("damage", ["FIFO", "link", "link to itself", "empty"])
def test_what_is_no_folder_is_named(market: SmallMarket, copied: Path, name: str, damage: str):
    """The folders of a book are as little trusted as its files."""
    replace(copied / name, damage)
    is_damaged(market, copied, name, "where a folder is expected")


def nested(depth: int) -> Any:
    """Return a list in a list in a list."""
    return [nested(depth - 1)] if depth else []


CHANGES: Final[dict[str, tuple[Callable[[dict[str, Any]], object], str]]] = {
    "a schema of no version": (lambda one: one.update(schema=0), "has the schema 0, which no version"),
    "no schema": (lambda one: one.pop("schema"), "has the schema None"),
    "a missing field": (lambda one: one.pop("account"), "has no account"),
    "another field": (lambda one: one.update(more=1), "has 'more', which is no field"),
    "a text for a number": (
        lambda one: one["account"].update(cash="1"),
        "has account.cash '1', not a number",
    ),
    "a number for a text": (lambda one: one.update(previous=1), "has previous 1, not a SHA-256"),
    "true for a number": (lambda one: one["account"].update(nav=True), "has account.nav True, not a number"),
    "a list for an object": (lambda one: one.update(account=[]), "has account [], not an object"),
    "an object for a list": (lambda one: one.update(notes={}), "has notes {}, not a list"),
    "a day that is none": (lambda one: one.update(day="2026-02-30"), "has day '2026-02-30', not a date"),
    "an earlier day": (lambda one: one.update(day="2026-03-02"), "2026-03-02"),
    "another kind": (lambda one: one.update(kind="x"), ""),
    "a number too large": (lambda one: one.update(number=9), "has the number 9"),
    "a number with a fraction": (lambda one: one.update(number=2.0), "not a whole number"),
    "another hash before": (lambda one: one.update(previous="0" * 64), "does not follow from"),
    "depth": (lambda one: one.update(notes=nested(DEPTH)), "nested too deeply"),
}
OF_DECISIONS: Final[dict[str, tuple[Callable[[dict[str, Any]], object], str]]] = {
    "an unknown verdict": (lambda one: one.update(decision="Bought"), "has decision 'Bought', not one of"),
    "an order without a side": (lambda one: one["orders"][0].pop("side"), "has no orders[0].side"),
    "a score that is none": (lambda one: one["scores"].update(AAA=None), "has scores.AAA None, not a number"),
    "a gate that is none": (lambda one: one["gates"][0].update(verdict=1), "has gates[0].verdict 1"),
    "rules that are none": (lambda one: one.update(rules={}), "has no rules.targets"),
    "an era that is not": (lambda one: one.update(era=2), "has the era 2, where it is 1"),
    "other rules by their hash": (lambda one: one.update(rulesSha256="0" * 64), "has a rulesSha256"),
    "a time that is none": (lambda one: one.update(recordedAt="now"), "has recordedAt 'now', not a time"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", FILES[1:])
def test_an_entry_of_another_form_is_named_with_its_field(
    market: SmallMarket, copied: Path, name: str, change: str
):
    """Each is written as a book writes its entries, so that the form alone is wrong."""
    alter, said = CHANGES[change]
    rewrite(copied / name, alter)
    is_damaged(market, copied, name, said)


@pytest.mark.parametrize("change", OF_DECISIONS)
def test_a_decision_of_another_form_is_named_with_its_field(market: SmallMarket, copied: Path, change: str):
    """A decision has more fields than a trading day."""
    alter, said = OF_DECISIONS[change]
    rewrite(copied / FILES[1], alter)
    is_damaged(market, copied, FILES[1], said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"schema": NaN}', "NaN is not a number that JSON has"),
        ('{"schema": 1, "schema": 1}', 'the key "schema" is there twice'),
        ('{"schema": 1e999}', "is too large"),
        ("[]", "not an object"),
    ],
)
def test_json_that_is_none_is_named(market: SmallMarket, copied: Path, content: str, said: str):
    """Python's parser would take some of it."""
    (copied / FILES[1]).write_text(content)
    is_damaged(market, copied, FILES[1], said)


@pytest.mark.parametrize("name", [*FILES, "chain/000001.json"])
def test_a_file_that_is_missing_is_noticed(market: SmallMarket, copied: Path, name: str):
    """All but the last one, whose loss only its hash shows."""
    (copied / name).unlink()
    is_damaged(market, copied, BOOK, "")


@pytest.mark.parametrize(
    "name", ["chain/notes.txt", "chain/8.json", "chain/000000.json", "chain/000001.json.bak"]
)
def test_a_file_that_is_no_entry_is_named(market: SmallMarket, copied: Path, name: str):
    """Its name is no number."""
    (copied / name).write_text("{}")
    is_damaged(market, copied, name, "is no entry")


def test_a_day_that_was_put_in_between_is_noticed(market: SmallMarket, copied: Path):
    """Its number is that of another entry."""
    shutil.copy(copied / "chain/000006.json", copied / "chain/000008.json")
    rewrite(copied / "chain/000008.json", lambda one: one.update(day="2026-03-07"))
    is_damaged(market, copied, "chain/000008.json", "has the number 6, where 8 follows")


def test_a_book_that_is_that_of_another_is_damaged(market: SmallMarket, copied: Path):
    """A folder that was copied or renamed is not another book."""
    other = copied.rename(copied.with_name("eu-shadow"))
    with pytest.raises(StageError, match="is that of the book us-shadow") as caught:
        market.record(other, market.days[5])
    assert caught.value.reason is Reason.LEDGER_DAMAGED


def test_without_a_book_there_is_no_chain(tmp_path: Path):
    """An empty folder is one in which nothing has begun."""
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(FileNotFoundError):
            Chain.read(folder)
        assert verify_book(folder) == [f"{folder} holds no book"]
        assert last_day(folder) is None


@pytest.mark.parametrize("field", ["region", "costs.slippage_bps", "gates", "limits.max_gross"])
def test_rules_that_an_earlier_version_recorded_without_a_later_field_are_the_same_rules(
    market: SmallMarket, tmp_path: Path, field: str, monkeypatch: pytest.MonkeyPatch
):
    """Such a book holds, the ids of its orders stay, and its next night begins no era."""
    today = Rules.document

    def before(rules: Rules) -> dict[str, Any]:
        document = today(rules)
        outer, _, inner = field.rpartition(".")
        del (document[outer] if outer else document)[inner]
        return document

    book, other = tmp_path / "a" / BOOK, tmp_path / "b" / BOOK
    with monkeypatch.context() as earlier:
        earlier.setattr(Rules, "document", before)
        for day in market.days[:3]:
            market.record(book, day)
    for day in market.days[:4]:
        market.record(other, day)
    assert verify_book(book, market.dataset(market.days[2])) == []
    assert market.record(book, market.days[3]).decision["era"] == 1
    orders = [[one.document["orders"] for one in Chain.read(folder).decisions] for folder in (book, other)]
    assert orders[0] == orders[1]


def test_the_hash_of_rules_stays_what_it_is_whatever_field_comes():
    """Order ids follow from it; a default that is changed would change it."""
    assert RULES.sha256 == PINNED
    assert Rules(Targets(topk=3, n_drop=1), Costs(min_cost=5)).sha256 == RULES.sha256
    assert Rules(Targets(topk=3, n_drop=1), Costs(min_cost=6)).sha256 != RULES.sha256


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_newer_version_is_refused_and_not_called_damaged(
    market: SmallMarket, copied: Path, name: str
):
    """It may have other fields; the version that wrote it reads it."""
    rewrite(copied / name, lambda one: one.update(schema=2, later={"more": 1}))
    with pytest.raises(StageError, match="written by a newer version: its schema is 2") as caught:
        market.record(copied, market.days[5])
    assert caught.value.reason is Reason.LEDGER_REFUSED
    assert verify_book(copied) == [caught.value.message]


def test_a_field_that_a_later_schema_adds_need_not_be_there():
    """A document without it is one of the schema before."""

    class Later(TypedDict):
        day: str
        more: NotRequired[int]

    assert misfit({"day": "x"}, Later) is None
    assert misfit({"day": "x", "more": 1}, Later) is None
    assert misfit({"day": "x", "more": "1"}, Later) == "has more '1', not a whole number"
    assert misfit({"more": 1}, Later) == "has no day"


def test_folders_that_a_copy_has_left_out_because_they_were_empty_are_made_again(
    market: SmallMarket, tmp_path: Path
):
    """No kill switch was lifted yet."""
    book = tmp_path / BOOK
    market.record(book, market.days[0])
    (book / "halts").rmdir()
    assert market.record(book, market.days[1]).new
    assert len(files_of(book)) == 4


def rewrite(path: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    """Alter a document and write it as a book does."""
    document = json.loads(path.read_bytes())
    alter(document)
    path.write_bytes(encode(document))

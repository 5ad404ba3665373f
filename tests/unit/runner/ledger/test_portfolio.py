"""The portfolio file: read strictly, one sentence for each fault, and the sums over books."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.ledger.sample_book import RULES, write_book

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.ledger.overview import books, overview
from qlib_shadow_runner.ledger.portfolio import capital_of, read_portfolio, totals_of

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, content: object) -> None:
    """Write the file."""
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "PORTFOLIO.json").write_text(text)


def test_a_book_begins_with_its_share(tmp_path: Path):
    """Shares may add up to 1 with the error of their fractions; a book without one has none."""
    write(tmp_path, {"capital": 2_000_000, "shares": {"us-shadow": 0.1, "cn-shadow": 0.2, "tw": 0.7}})
    assert capital_of(tmp_path, "cn-shadow") == (400_000.0, 0.2)
    assert capital_of(tmp_path, "eu-shadow") == (None, None)
    (tmp_path / "PORTFOLIO.json").unlink()
    assert read_portfolio(tmp_path) is None
    assert capital_of(tmp_path, "us-shadow") == (None, None)
    assert capital_of(tmp_path / "nowhere", "us-shadow") == (None, None)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "cannot be read: it is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"capital": NaN, "shares": {"a": 1}}', "cannot be read"),
        ('{"capital": 1e400, "shares": {"a": 1}}', "cannot be read"),
        ('{"capital": 5, "capital": 6, "shares": {"a": 1}}', "cannot be read"),
        ("[" * 5_000, "cannot be read"),
        ({"shares": {"a": 1}}, 'has no "capital"'),
        ({"capital": 100}, 'has no "shares"'),
        ({"capital": 100, "share": {"a": 1}, "shares": {"a": 1}}, 'did you mean "shares"?'),
        ({"capital": "100", "shares": {"a": 1}}, "has a capital of '100'"),
        ({"capital": True, "shares": {"a": 1}}, "has a capital of true"),
        ({"capital": 0, "shares": {"a": 1}}, "a number from 1 to 1e+15"),
        ({"capital": 100, "shares": {}}, "must give each book its share"),
        ({"capital": 100, "shares": [0.5]}, "must give each book its share"),
        ({"capital": 100, "shares": {"a": "0.5"}}, "has '0.5' as the share of \"a\""),
        ({"capital": 100, "shares": {"a": None}}, 'has null as the share of "a"'),
        ({"capital": 100, "shares": {"a": 0}}, "above 0 and at most 1"),
        ({"capital": 100, "shares": {"a": -0.1}}, "above 0 and at most 1"),
        ({"capital": 100, "shares": {"a": 1.5}}, "above 0 and at most 1"),
        ({"capital": 100, "shares": {"US Shadow": 0.5}}, "cannot be the name of a book"),
        ({"capital": 100, "shares": {"a" * 53: 0.5}}, "cannot be the name of a book"),
        ({"capital": 100, "shares": {"a": 0.6, "b": 0.5}}, "has shares of 1.1 together"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path: Path, content: object, says: str):
    """It names the file, the fault and a right example."""
    write(tmp_path, content)
    with pytest.raises(StageError) as raised:
        capital_of(tmp_path, "a")
    assert raised.value.reason is Reason.INVALID_SPEC
    assert says in raised.value.message
    assert f"{tmp_path}/PORTFOLIO.json" in raised.value.message
    assert raised.value.message.count("\n") == 0


def test_a_folder_or_a_link_in_its_place_is_refused(tmp_path: Path):
    """What a link leads to is not read."""
    (tmp_path / "PORTFOLIO.json").mkdir()
    with pytest.raises(StageError, match="is a folder"):
        read_portfolio(tmp_path)
    (tmp_path / "PORTFOLIO.json").rmdir()
    (tmp_path / "PORTFOLIO.json").symlink_to("/etc/hostname")
    with pytest.raises(StageError, match="is a link"):
        read_portfolio(tmp_path)


def test_a_wrong_file_ends_no_night_of_a_book_that_has_begun(tmp_path: Path):
    """It keeps the capital with which it began."""
    write(tmp_path, "{")
    write_book(tmp_path, "a", 1)
    assert capital_of(tmp_path, "a") == (None, None)


def test_books_are_summed_without_those_that_cannot_be_read(tmp_path: Path):
    """NAV, profit and holdings; the damaged one is counted."""
    for name in ("one", "two", "torn"):
        write_book(tmp_path, name, 4)
    (tmp_path / "torn" / "BOOK.json").unlink()
    found = [overview(tmp_path / name) for name in books(tmp_path)]
    totals = totals_of(found)
    [total] = totals.regions
    one = overview(tmp_path / "one")
    assert (totals.books, totals.damaged, total.books, total.capital) == (3, 1, 2, 200_000.0)
    assert one.nav is not None
    assert one.pnl is not None
    assert one.gross is not None
    assert (total.nav, total.pnl, total.gross) == (2 * one.nav, 2 * one.pnl, 2 * one.gross)
    assert totals_of([]).regions == ()


def test_books_of_several_regions_are_not_summed(tmp_path: Path):
    """Dollars and yuan have no sum; each region has one of its own."""
    write_book(tmp_path, "one", 2)
    write_book(tmp_path, "two", 2, rules=replace(RULES, region="cn"), capital=70_000.0)
    totals = totals_of([overview(tmp_path / name) for name in books(tmp_path)])
    assert [(one.region, one.capital) for one in totals.regions] == [("cn", 70_000.0), ("us", 100_000.0)]
    assert "capital" not in totals.document()

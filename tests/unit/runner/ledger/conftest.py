"""A small market for the tests of books, and an empty book on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.ledger.small_market import BOOK, SmallMarket

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> SmallMarket:
    """Return a market of twelve sessions."""
    return SmallMarket(tmp_path_factory.mktemp("market"))


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Return the folder of a book that has not begun."""
    return tmp_path / "ledgers" / BOOK

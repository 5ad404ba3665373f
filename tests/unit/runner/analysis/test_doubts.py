"""What makes figures doubtful, and what does not: each threshold from both sides."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from qlib_shadow_runner.analysis.doubts import find_doubts
from qlib_shadow_runner.analysis.facts import RunFacts
from qlib_shadow_runner.analysis.frozen import Frozen
from qlib_shadow_runner.analysis.outputs import Rounds
from qlib_shadow_runner.analysis.positions import Holding
from qlib_shadow_runner.analysis.ties import Ties

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START = datetime(2024, 1, 1)  # noqa: DTZ001 - a day


def titles(
    facts: RunFacts | None = None, metrics: Mapping[str, object] | None = None, **parts: Any
) -> list[str]:
    """Return the titles of the doubts about figures that are fine but for these parts."""
    fine = {"ic": None, "rank_ic": None, "summary": None, "ties": None, "rounds": None, "frozen": None}
    found = find_doubts(Mock(**{**fine, **parts}), metrics or {}, facts or RunFacts())
    return [doubt.title for doubt in found]


def correlation(mean: float, sign: int | None) -> Mock:
    """Return an IC with what it is to chance."""
    return Mock(mean=mean, chance=Mock(sign=sign))


@pytest.mark.parametrize(
    ("mean", "sign", "doubted"),
    [
        (0.9, 1, True),
        (-0.4, -1, True),
        (0.9, None, True),
        (0.15, 1, False),
        (0.4, 0, False),
        (0.3, None, False),
    ],
)
def test_only_an_ic_that_chance_cannot_explain_is_too_good(mean: float, sign: int | None, *, doubted: bool):
    """Of either sign, and of IC and Rank IC alike; a few names over a few days may have any."""
    for name in ("ic", "rank_ic"):
        found = titles(**{name: correlation(mean, sign)})
        assert found == (["Too good to be true: suspect look-ahead"] if doubted else [])


@pytest.mark.parametrize(("ratio", "sign", "doubted"), [(23.0, 1, True), (4.0, 1, False), (6.0, 0, False)])
def test_only_a_ratio_that_chance_cannot_explain_is_too_good(ratio: float, sign: int, *, doubted: bool):
    """A month of luck may have any ratio."""
    found = titles(metrics={"informationRatio": ratio}, summary=Mock(excess=Mock(sign=sign)))
    assert bool(found) is doubted


def test_ties_are_counted_day_by_day():
    """Days without scores do not count; a cut at the last place between equal scores is undecided."""
    table = pd.DataFrame([[1.0, 2, 2, 3], [1, 2, 3, 4], [5, 5, 5, np.nan], [np.nan] * 4])
    assert Ties.of(table.iloc[[0]], 2) == Ties(1, 4, 3, 2, 1)
    assert Ties.of(table.iloc[[1]], 2) == Ties(1, 4, 4, 0, 0)
    assert Ties.of(table.iloc[[2, 3]], 2) == Ties(1, 3, 1, 3, 1)
    assert Ties.of(table.iloc[[0, 1]], 4) == Ties(2, 4, 3, 1, 0)
    assert Ties.of(table.iloc[[3]], 2) is None
    assert Ties.of(None, 2) is None


@pytest.mark.parametrize(
    ("distinct", "found"),
    [(1, ["The model gives every instrument the same score"]), (9, ["few distinct scores"]), (60, [])],
)
def test_few_distinct_scores_are_doubted(distinct: int, found: list[str]):
    """Fewer than half of the instruments."""
    assert titles(ties=Ties(250, 120, distinct, 120, None)) == found


def test_single_tree_is_doubted():
    """Whether training stopped after it, or was to make no other."""
    assert [titles(rounds=Rounds(*rounds)) for rounds in ((51, 1), (1, 1), (51, 2))] == [
        ["one round of training"],
        ["one round of training"],
        [],
    ]


def test_market_without_endings_is_doubted_where_some_are_usual():
    """A small or young market may have none by chance."""
    found = [
        titles(RunFacts(ended=ended, instrument_years=years)) for ended, years in ((0, 600.0), (0, 100.0))
    ]
    assert found == [["only survivors in the data"], []]
    assert titles(RunFacts(ended=1, instrument_years=600.0)) == titles(RunFacts(ended=None)) == []


def held(
    prices: Mapping[str, Sequence[float | None]], share: float = 0.5
) -> list[tuple[datetime, dict[str, Any]]]:
    """Return positions by day; None is a day on which the instrument is not held."""
    days = max(map(len, prices.values()))
    return [
        (
            START + timedelta(days=day),
            {name: Holding(price, share) for name, row in prices.items() if (price := row[day]) is not None},
        )
        for day in range(days)
    ]


def test_holdings_without_a_new_price_for_a_month_are_frozen():
    """The worst day is told, with the largest holding; a pause of a month is not frozen."""
    moving = [float(day) for day in range(60)]
    frozen = Frozen.of(held({"A": [*moving[:10], *[9.5] * 50], "B": moving}))
    assert frozen == Frozen("2024-02-01", 0.5, "A", 49, until_end=True)
    thawed = Frozen.of(held({"A": [*[1.0] * 30, *moving[30:]], "B": moving}))
    assert thawed == Frozen("2024-01-22", 0.5, "A", 29, until_end=False)
    assert Frozen.of(held({"A": [1.0] * 21})) is None
    assert Frozen.of(held({"A": [*[1.0] * 15, None, *[1.0] * 15]})) is None
    assert Frozen.of([]) is None
    assert titles(frozen=frozen) == ["frozen holdings"]
    assert titles(frozen=Frozen.of(held({"A": [1.0] * 40}, share=0.02))) == []

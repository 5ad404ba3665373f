"""Every feature equals what Qlib's expression engine computes from the same files, bit for bit."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qlib.contrib.data.loader import Alpha158DL, Alpha360DL
from tests.unit.runner.conftest import weekdays, write_bin
from tests.unit.runner.plugins.markets import FIELDS, SYMBOLS, Listing, Market
from tests.unit.runner.plugins.random_examples import rounds
from tests.unit.runner.plugins.side_by_side import by_qlib, by_us, named, open_dataset, require_same

AT_ONCE = 12
LABEL = (["Ref($close, -2)/Ref($close, -1) - 1"], ["LABEL0"])
WINDOWS = [1, 2, 3, 5, 20, 60]
EVERYTHING = {
    "kbar": {},
    "price": {"windows": [0, 1, 4], "feature": ["OPEN", "HIGH", "LOW", "CLOSE", "VWAP"]},
    "volume": {"windows": [0, 1, 4]},
    "rolling": {"windows": WINDOWS},
}
OWN = [
    "Med($close, 4)",
    "Var($volume, 3)",
    "Cov($close, $volume, 5)",
    "Corr($close/Ref($close, 1), $high - $low, 4)",
    "Count($close > Ref($close, 1), 3)",
    "Count($volume, 3)",
    "Delta($close, 3)/$close",
    "Delta($close, -3)",
    "Sign($close - $open)",
    "If($close > $open, $high, 0.5)",
    "If($close > 10, 1, 0)",
    "Sum(If($volume == 0, 1, 0), 5)",
    "If($close - $close, $open, $high)",
    "($close > 3) & ($close != Ref($close, 2)) | Not($open <= $close)",
    "Mean(3 < $close, 4)",
    "Greater($close, 2.5) - Less($open, $vwap)",
    "$close**2 + 2*3 - -1*$open",
    "Power($close, 0.5)",
    "Power(2, $close/$open)",
    "Ref(Ref($close, 2), -1)",
    "Mean(Mean($close, 3), 4) + Std($vwap, 2)",
    "IdxMax($volume, 5) - IdxMin($volume, 3)",
    "Rank($volume, 4)",
    "Quantile($volume, 5, 0.33)",
    "Slope(Log($volume), 5) + Resi($open, 3)*Rsquare($vwap, 4)",
    "Abs($VWAP - $Close)",
    "$close",
    "Max($close, 2)/Min($nothing, 2)",
    "1e-3/$volume",
]
"""Operators and forms that the ready-made features do not use."""
POOL = sorted(
    {*Alpha158DL.get_feature_config(EVERYTHING)[0], *Alpha360DL.get_feature_config()[0][::29], *OWN}
)


@st.composite
def listings(draw: st.DrawFn, length: int) -> Listing:
    """Draw an instrument that begins and ends on any day, perhaps on the same one."""
    first = draw(st.integers(0, length - 1))
    share = st.sampled_from([0.0, 0.0, 0.1, 0.6])
    return Listing(
        first,
        draw(st.integers(1, length - first)),
        draw(st.integers(0, 1000)),
        constant=draw(st.booleans()),
        gaps=draw(share),
        infinite=draw(st.sampled_from([0.0, 0.0, 0.05])),
        no_volume=draw(share),
        missing=draw(st.sampled_from([(), (), ("vwap",), ("open", "volume"), FIELDS])),
        short=draw(st.sampled_from([(), (), (), ("vwap",), ("close", "volume")])),
        coarse=draw(st.booleans()),
    )


@st.composite
def markets(draw: st.DrawFn) -> Market:
    """Draw one to four instruments over a few days or many."""
    length = draw(st.integers(1, 90))
    found = {symbol: draw(listings(length)) for symbol in SYMBOLS[: draw(st.integers(1, len(SYMBOLS)))]}
    day = st.integers(0, length - 1)
    span = st.tuples(day, day).map(lambda ends: (min(ends), max(ends)))
    some = st.dictionaries(st.sampled_from(sorted(found)), st.lists(span, min_size=1, max_size=2).map(tuple))
    return Market(length, found, draw(some))


@rounds("QLIB_SHADOW_CHAOS_FEATURES", 16)
@given(
    market=markets(),
    expressions=st.lists(st.sampled_from(POOL), min_size=AT_ONCE, max_size=AT_ONCE, unique=True),
    asked=st.sampled_from(["all", "some", ["BBB", "AAA"]]),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_random_expressions_equal_qlib(
    market: Market, expressions: list[str], asked: str | list[str], ends: tuple[float, float]
):
    """Gaps, suspensions, flat prices, one-day listings, missing files, infinities; any span of days."""
    calendar = weekdays(market.length)
    first, last = (calendar[round(end * (market.length - 1))] for end in sorted(ends))
    config = {"feature": named(*expressions), "label": LABEL}
    with tempfile.TemporaryDirectory() as folder:
        open_dataset(market.write(Path(folder) / "us"))
        try:
            theirs = by_qlib(config, asked, str(first), str(last))
        except Exception as refused:  # noqa: BLE001 - whatever Qlib does not take
            with pytest.raises(type(refused)):
                by_us(config, asked, str(first), str(last))
            return
        ours, report = by_us(config, asked, str(first), str(last))
    require_same(theirs, ours)
    assert report.columns_by_qlib == []


NASTY = Market(
    130,
    {
        "AAA": Listing(0, 130, 1, gaps=0.05),
        "BBB": Listing(17, 100, 2, infinite=0.02, no_volume=0.1, coarse=True),
        "CCC": Listing(60, 1, 3),
        "DDD": Listing(5, 110, 4, constant=True, missing=("vwap",)),
    },
    {"AAA": ((3, 40), (80, 129)), "BBB": ((0, 129),)},
)


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one market with all peculiarities."""
    return NASTY.write(tmp_path_factory.mktemp("nasty") / "us")


@pytest.mark.parametrize(
    "features",
    [
        Alpha158DL.get_feature_config(),
        Alpha360DL.get_feature_config(),
        Alpha158DL.get_feature_config(EVERYTHING | {"rolling": {"windows": [7], "exclude": ["RANK", "MA"]}}),
        Alpha158DL.get_feature_config({"volume": {}, "rolling": {"include": ["CORR", "IMAX"]}}),
    ],
    ids=["Alpha158", "Alpha360", "Alpha158 of one window", "Alpha158 of two operators"],
)
def test_ready_made_features_equal_qlib_without_its_help(nasty: Path, features: tuple[list[str], list[str]]):
    """From a day inside the calendar, for a universe whose instruments are listed and delisted."""
    open_dataset(nasty)
    days = [str(day) for day in weekdays(130)]
    config = {"feature": features, "label": LABEL}
    ours, stats = by_us(config, "some", days[20], days[100])
    require_same(by_qlib(config, "some", days[20], days[100]), ours)
    assert (stats.all_by_qlib, stats.columns_by_qlib, stats.instruments_by_qlib) == ("", [], [])


def test_zeros_of_both_signs_equal_qlib(nasty: Path, tmp_path: Path):
    """They are equal, but give different results in a division and in a sorted window."""
    shutil.copytree(nasty, tmp_path / "us")
    signs = [0.0, -0.0, -0.0, 0.0, 1.0, -0.0, 0.0, 0.0, -0.0, -1.0, 0.0, -0.0] * 10
    write_bin(tmp_path / "us" / "features" / "aaa" / "flow.day.bin", signs, 0)
    open_dataset(tmp_path / "us")
    expressions = named(
        "1/($close*0.0)",
        "1/($close*-0.0)",
        "Quantile($flow, 3, 0.5)",
        "Quantile($flow, 5, 0.2)",
        "Med($flow, 4)",
        "Quantile(($close - Ref($close, 1))*($open - Ref($open, 1))*0, 3, 0.5)",
    )
    asked = {"feature": expressions, "label": LABEL}, "all", "2020-01-01", "2020-06-30"
    ours, stats = by_us(*asked)
    require_same(by_qlib(*asked), ours)
    assert stats.columns_by_qlib == []


@pytest.mark.parametrize(
    "expression",
    [
        "EMA($close, 5)",
        "WMA($close, 3)",
        "Mad($close, 4)",
        "Skew($close, 5)",
        "Mean($close, 0)",
        "Ref($close, 0)",
    ],
)
def test_unsupported_column_is_computed_by_qlib(
    nasty: Path, expression: str, capfd: pytest.CaptureFixture[str]
):
    """One such column among others: the others are still computed by the engine."""
    open_dataset(nasty)
    config = {"feature": named("$close/Ref($close, 1)", expression, "Std($close, 5)"), "label": LABEL}
    asked = "all", "2020-01-01", "2020-06-30"
    ours, stats = by_us(config, *asked)
    require_same(by_qlib(config, *asked), ours)
    assert stats.columns_by_qlib == ["C1"]
    assert "1 columns by Qlib's own engine (C1)" in capfd.readouterr().out


def test_instrument_with_gap_is_computed_by_qlib(
    nasty: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """Its prices have a gap between two fields' files; the others are computed by the engine."""
    shutil.copytree(nasty, tmp_path / "us")
    write_bin(tmp_path / "us" / "features" / "aaa" / "open.day.bin", [1.0] * 10, 2)
    write_bin(tmp_path / "us" / "features" / "aaa" / "close.day.bin", [1.0] * 10, 50)
    open_dataset(tmp_path / "us")
    config = {"feature": named("$open/$close", "Mean($close, 3)"), "label": LABEL}
    asked = "all", "2020-01-01", "2020-06-30"
    ours, stats = by_us(config, *asked)
    require_same(by_qlib(config, *asked), ours)
    assert stats.instruments_by_qlib == ["AAA"]
    assert "1 instruments by Qlib's own engine (AAA)" in capfd.readouterr().out


def test_days_without_listing_are_computed_by_qlib(nasty: Path):
    """Qlib returns an empty frame of a special form."""
    open_dataset(nasty)
    config = {"feature": named("$close"), "label": LABEL}
    asked = ["CCC"], "2020-01-01", "2020-01-10"
    ours, stats = by_us(config, *asked)
    require_same(by_qlib(config, *asked), ours)
    assert stats.all_by_qlib == "days on which nothing is listed"

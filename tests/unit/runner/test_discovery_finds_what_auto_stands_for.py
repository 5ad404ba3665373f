"""Market, benchmark and segments, found in the dataset or refused with what is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.layout import Dataset
from qlib_shadow_runner.discovery.benchmark import check_coverage, find_benchmark
from qlib_shadow_runner.discovery.market import describe_market, find_market
from qlib_shadow_runner.discovery.plan import make_plan
from qlib_shadow_runner.discovery.segments import EMBARGO, WARM_UP, plan_segments
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import Segments, WorkflowSpec

MakeDataset = Callable[..., Dataset]


def calendar(count: int) -> list[date]:
    """Give consecutive days; the arithmetic does not care for weekends."""
    return [date.fromordinal(date(2020, 1, 1).toordinal() + number) for number in range(count)]


@pytest.mark.parametrize(
    ("universes", "expected"),
    [
        ({"all": ["A", "B"], "sp500": ["A"], "big": ["A", "B", "C"]}, "sp500"),
        ({"all": ["A", "B"], "csi300": ["A"], "nasdaq100": ["B"]}, "csi300"),
        ({"all": ["A", "B", "C"], "small": ["A"], "large": ["A", "B"]}, "large"),
        ({"all": ["A"]}, "all"),
    ],
    ids=[
        "a known name first",
        "the better known first",
        "the largest of the unknown",
        "all when nothing else is there",
    ],
)
def test_the_market_is_chosen_by_preference(
    make_dataset: MakeDataset, universes: dict[str, list[str]], expected: str
):
    """`auto` means what a researcher would mean."""
    assert find_market(make_dataset(5, universes), "auto")[0] == expected


def test_an_unknown_market_is_refused_with_the_nearest(make_dataset: MakeDataset):
    """A typing error is the usual reason."""
    with pytest.raises(
        StageError, match=r'market "sp50" has no instruments/sp50.txt .* did you mean "sp500"'
    ) as caught:
        find_market(make_dataset(5, {"sp500": ["A"]}), "sp50")
    assert caught.value.reason is Reason.MARKET_NOT_FOUND


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [(["A", "SPY", "^GSPC"], "^GSPC"), (["A", "spy"], "spy"), (["A", "^FTSE"], "^FTSE")],
    ids=["the index before the fund", "whatever its case", "the only index"],
)
def test_the_benchmark_is_chosen_by_preference(make_dataset: MakeDataset, symbols: list[str], expected: str):
    """In the dataset's own spelling."""
    assert find_benchmark(make_dataset(5, {"all": symbols}), "auto").symbol == expected


def test_a_missing_benchmark_is_refused_with_the_nearest(make_dataset: MakeDataset):
    """Cause, place, remedy."""
    with pytest.raises(StageError) as caught:
        find_benchmark(make_dataset(5, {"all": ["A", "B", "^GSPC"]}), "^SPX")
    assert caught.value.message == (
        'benchmark "^SPX" is not in instruments/all.txt (3 names; close: ^GSPC). '
        "Set spec.workflow.benchmark, or leave it to auto."
    )
    assert caught.value.reason is Reason.BENCHMARK_NOT_FOUND


@pytest.mark.parametrize("symbols", [["A"], ["A", "^AAA", "^BBB"]], ids=["no index", "two indices"])
def test_an_unclear_benchmark_is_not_guessed(make_dataset: MakeDataset, symbols: list[str]):
    """The user chooses."""
    with pytest.raises(StageError, match=r"no benchmark can be chosen .* Set spec.workflow.benchmark"):
        find_benchmark(make_dataset(5, {"all": symbols}), "auto")


def test_a_benchmark_without_prices_is_refused(make_dataset: MakeDataset):
    """Being listed is not enough."""
    dataset = make_dataset(5, {"all": ["A", "SPY"]}, without_features=["SPY"])
    with pytest.raises(StageError, match=r"is listed, but has no features/spy/close.day.bin"):
        find_benchmark(dataset, "SPY")


def test_a_benchmark_must_cover_the_backtest(make_dataset: MakeDataset):
    """Qlib would fail late."""
    dataset = make_dataset(5, {"all": ["A", "SPY"]})
    benchmark = find_benchmark(dataset, "SPY")
    with pytest.raises(StageError, match="but the backtest runs from 2019-01-01 to 2020-01-03"):
        check_coverage(dataset, benchmark, date(2019, 1, 1), date(2020, 1, 3))


def test_a_benchmark_in_the_universe_is_filtered_out_of_it(make_dataset: MakeDataset):
    """It is measured against, never held; the file stays as it is."""
    market = describe_market(make_dataset(5), "all", "auto", "^gspc")
    assert market.symbols == ("AAA", "BBB")
    assert market.instruments == {
        "market": "all",
        "filter_pipe": [
            {
                "filter_type": "NameDFilter",
                "name_rule_re": r"(?!\^GSPC$)",
                "filter_start_time": None,
                "filter_end_time": None,
            }
        ],
    }


def test_a_universe_without_the_benchmark_is_named_plainly(make_dataset: MakeDataset):
    """A filter that filters nothing would only cost time."""
    dataset = make_dataset(5, {"all": ["A", "^GSPC"], "demo": ["A"]})
    assert describe_market(dataset, "demo", "auto", "^GSPC").instruments == "demo"


def test_segments_divide_the_calendar_with_a_gap_between_them():
    """60/15/25, after the features' warm-up, each two days after the one before."""
    days = calendar(1512)
    plan = plan_segments(days, None, "here")
    places = {
        name: [days.index(day) for day in getattr(plan.segments, name)] for name in ("train", "valid", "test")
    }
    assert places["train"][0] == WARM_UP
    assert places["valid"][0] - places["train"][1] == EMBARGO + 1
    assert places["test"][0] - places["valid"][1] == EMBARGO + 1
    assert plan.counts == {"train": 869, "valid": 217, "test": 362}


def test_the_signals_reach_the_last_day_and_the_backtest_the_day_before():
    """Tomorrow's list is the point of a nightly run."""
    days = calendar(400)
    plan = plan_segments(days, None, "here")
    assert plan.segments.test[1] == days[-1]
    assert plan.backtest == (plan.segments.test[0], days[-2])


def test_a_short_calendar_is_refused_with_its_length():
    """The file and the counts are named."""
    with pytest.raises(
        StageError, match=r"here/calendars/day.txt has 200 days, and a run needs at least 224"
    ) as caught:
        plan_segments(calendar(200), None, "here")
    assert caught.value.reason is Reason.DATASET_TOO_SHORT


def explicit(train: tuple[int, int], valid: tuple[int, int], test: tuple[int, int]) -> Segments:
    """Name segments by day numbers."""
    day = [date.fromordinal(date(2020, 1, 1).toordinal() + number) for number in range(-5, 600)]
    return Segments(*((day[first + 5], day[last + 5]) for first, last in (train, valid, test)))


@pytest.mark.parametrize(
    ("segments", "sentence"),
    [
        (
            explicit((-3, 150), (160, 200), (210, 299)),
            "reaches outside the calendar, which runs from 2020-01-01",
        ),
        (explicit((0, 150), (160, 200), (210, 320)), "reaches outside the calendar"),
        (
            explicit((0, 170), (160, 200), (210, 299)),
            "valid begins on 2020-06-09, not after the end of train",
        ),
        (explicit((0, 50), (160, 200), (210, 299)), "train has 51 trading days, fewer than the 120 it needs"),
    ],
    ids=["too early", "too late", "overlapping", "too short"],
)
def test_segments_that_cannot_be_are_refused(segments: Segments, sentence: str):
    """With the dates that are wrong."""
    with pytest.raises(StageError, match=sentence) as caught:
        plan_segments(calendar(300), segments, "here")
    assert caught.value.reason is Reason.SEGMENTS_INVALID


def test_segments_without_a_gap_are_allowed_and_told():
    """It is the user's choice, but the summary says what it means."""
    plan = plan_segments(calendar(300), explicit((0, 150), (151, 200), (203, 250)), "here")
    assert plan.caveats == ("0 days lie between train and valid; labels look 2 days ahead, so they overlap",)
    assert plan.backtest == plan.segments.test


def test_the_whole_plan_of_a_small_dataset(make_dataset: MakeDataset):
    """The three findings fit together."""
    plan = make_plan(make_dataset(300, {"all": ["A", "B", "^GSPC"], "demo": ["A", "B"]}), WorkflowSpec())
    assert (plan.market.name, plan.market.symbols, plan.benchmark.symbol) == ("demo", ("A", "B"), "^GSPC")

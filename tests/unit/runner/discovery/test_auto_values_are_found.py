"""Market, benchmark and segments, found in the dataset or refused with what is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tests.unit.runner.conftest import write_bin

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.workflow import Segments, WorkflowSpec
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.discovery.benchmark import check_coverage, find_benchmark
from qlib_shadow_runner.discovery.market import describe_market, find_market
from qlib_shadow_runner.discovery.reach import ALPHA158, Reach
from qlib_shadow_runner.discovery.research_plan import make_plan
from qlib_shadow_runner.discovery.segments import plan_segments
from qlib_shadow_runner.errors import StageError

MakeDataset = Callable[..., Dataset]


def calendar(count: int) -> list[date]:
    """Return consecutive days; the arithmetic does not care for weekends."""
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
def test_market_is_chosen_by_preference(
    make_dataset: MakeDataset, universes: dict[str, list[str]], expected: str
):
    """`auto` takes the best known universe."""
    assert find_market(make_dataset(5, universes), "auto")[0] == expected


def test_unknown_market_is_refused_with_the_nearest_name(make_dataset: MakeDataset):
    """A typing error is the usual reason."""
    with pytest.raises(StageError, match=r'market "sp50" has no instruments/sp50.txt') as caught:
        find_market(make_dataset(5, {"sp500": ["A"]}), "sp50")
    assert caught.value.reason is Reason.MARKET_NOT_FOUND
    assert caught.value.message.endswith(
        '; did you mean "sp500"? Set spec.workflow.market, or leave it to auto.'
    )


def test_unknown_market_without_a_near_name_lists_all(make_dataset: MakeDataset):
    """The two sentences are separate."""
    with pytest.raises(
        StageError, match=r"; known here: all, demo; set spec\.workflow\.market, or leave it to auto"
    ):
        find_market(make_dataset(5, {"all": ["A"], "demo": ["A"]}), "sp5000")


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (["A", "SPY", "^GSPC"], "^GSPC"),
        (["A", "spy"], "spy"),
        (["A", "^FTSE"], "^FTSE"),
        (["A", "^BBB", "^AAA"], "^AAA"),
    ],
    ids=["the index before the fund", "whatever its case", "the only index", "of equal indices the first"],
)
def test_benchmark_is_chosen_by_preference(make_dataset: MakeDataset, symbols: list[str], expected: str):
    """In the dataset's own spelling."""
    assert find_benchmark(make_dataset(5, {"all": symbols}), "auto", "all").symbol == expected


def test_index_with_the_most_days_is_chosen_and_the_reason_given(make_dataset: MakeDataset):
    """The summary says which others there were."""
    dataset = make_dataset(5, {"all": ["A", "^AAA", "^BBB"]})
    write_bin(dataset.folder / "features" / "^aaa" / "close.day.bin", [1.0] * 4, start=1)
    found = find_benchmark(dataset, "auto", "all")
    assert found.symbol == "^BBB"
    assert found.chosen_by == "auto: of the indices ^AAA, ^BBB the one with the most days"


def test_without_an_index_the_benchmark_is_the_universes_average(make_dataset: MakeDataset):
    """Of the instruments with prices; Qlib reads a list as their equal-weighted average."""
    dataset = make_dataset(300, {"all": ["A", "B", "C"], "demo": ["A", "B", "D"]}, without_features=["D"])
    plan = make_plan(dataset, WorkflowSpec(market="demo"))
    assert plan.benchmark.symbol == "average of demo"
    assert plan.benchmark.value_for_qlib == ["A", "B"]
    assert plan.benchmark.chosen_by == "auto: there is no index, so the equal-weighted average of demo"
    assert plan.market.symbols == ("A", "B", "D")


def test_without_prices_no_benchmark_is_found(make_dataset: MakeDataset):
    """Neither an index nor an average."""
    dataset = make_dataset(5, {"all": ["A"]}, without_features=["A"])
    with pytest.raises(StageError, match=r"of the 1 instruments of all none has prices. Set spec"):
        find_benchmark(dataset, "auto", "all")


def test_missing_benchmark_is_refused_with_the_nearest_name(make_dataset: MakeDataset):
    """Cause, place, remedy."""
    with pytest.raises(StageError) as caught:
        find_benchmark(make_dataset(5, {"all": ["A", "B", "^GSPC"]}), "^SPX", "all")
    assert caught.value.message == (
        'benchmark "^SPX" is not in instruments/all.txt (3 names; close: ^GSPC). '
        "Set spec.workflow.benchmark, or leave it to auto."
    )
    assert caught.value.reason is Reason.BENCHMARK_NOT_FOUND


def test_benchmark_without_prices_is_refused(make_dataset: MakeDataset):
    """Being listed is not enough."""
    dataset = make_dataset(5, {"all": ["A", "SPY"]}, without_features=["SPY"])
    with pytest.raises(StageError, match=r"is listed, but has no features/spy/close.day.bin"):
        find_benchmark(dataset, "SPY", "all")


def test_benchmark_must_cover_the_backtest(make_dataset: MakeDataset):
    """Qlib would fail late."""
    dataset = make_dataset(5, {"all": ["A", "SPY"]})
    benchmark = find_benchmark(dataset, "SPY", "all")
    with pytest.raises(StageError, match="but the backtest runs from 2019-01-01 to 2020-01-03"):
        check_coverage(dataset, benchmark, date(2019, 1, 1), date(2020, 1, 3))


def test_benchmark_in_the_universe_is_filtered_out(make_dataset: MakeDataset):
    """It is compared with and never held; the instruments file is unchanged."""
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


def test_universe_without_the_benchmark_has_no_filter(make_dataset: MakeDataset):
    """A filter without an effect would only cost time."""
    dataset = make_dataset(5, {"all": ["A", "^GSPC"], "demo": ["A"]})
    assert describe_market(dataset, "demo", "auto", "^GSPC").instruments == "demo"


def test_segments_divide_the_calendar_with_a_gap_between_them():
    """60/15/25 percent after the features' longest window, with two days between them."""
    days = calendar(1512)
    plan = plan_segments(days, None, "here")
    places = {
        name: [days.index(day) for day in getattr(plan.segments, name)] for name in ("train", "valid", "test")
    }
    assert places["train"][0] == ALPHA158.back == 60
    assert places["valid"][0] - places["train"][1] == ALPHA158.ahead + 1 == 3
    assert places["test"][0] - places["valid"][1] == ALPHA158.ahead + 1
    assert plan.counts == {"train": 869, "valid": 217, "test": 362}


@given(back=some.integers(0, 250), ahead=some.integers(0, 40), usable=some.integers(180, 2000))
def test_labels_do_not_overlap_between_segments(back: int, ahead: int, usable: int):
    """For any reach of label and features."""
    reach, length = Reach(back, ahead), usable + back + 2 * ahead
    days = calendar(length)
    segments = plan_segments(days, None, "here", reach).segments
    places = [days.index(day) for span in (segments.train, segments.valid, segments.test) for day in span]
    assert places[0] == reach.back
    assert places[2] - places[1] == places[4] - places[3] == reach.ahead + 1
    assert places == sorted(places)
    assert places[5] == length - 1


def test_signals_end_on_the_last_day_and_the_backtest_the_day_before():
    """A nightly run needs the signals of the last day."""
    days = calendar(400)
    plan = plan_segments(days, None, "here")
    assert plan.segments.test[1] == days[-1]
    assert plan.backtest == (plan.segments.test[0], days[-2])


def test_short_calendar_is_refused_with_its_length():
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
def test_impossible_segments_are_refused(segments: Segments, sentence: str):
    """With the dates that are wrong."""
    with pytest.raises(StageError, match=sentence) as caught:
        plan_segments(calendar(300), segments, "here")
    assert caught.value.reason is Reason.SEGMENTS_INVALID


def test_segments_without_a_gap_give_a_caveat():
    """It is the user's choice, but the summary says what it means."""
    plan = plan_segments(calendar(300), explicit((60, 190), (191, 220), (223, 250)), "here")
    assert plan.caveats == ("0 days lie between train and valid; labels look 2 days ahead, so they overlap",)
    assert plan.backtest == plan.segments.test


def test_segments_that_begin_too_early_give_a_caveat():
    """Features of the first days have incomplete windows."""
    plan = plan_segments(calendar(300), explicit((10, 150), (160, 200), (210, 250)), "here")
    [caveat] = plan.caveats
    assert caveat == (
        "10 days lie before train; features look 60 days back, "
        "so those of its first days know less than they seem to"
    )


def test_gap_follows_a_longer_label_or_gives_a_caveat():
    """A gap of two days is too short for a label of twenty."""
    plan = plan_segments(calendar(300), explicit((60, 190), (200, 220), (241, 270)), "here", Reach(60, 20))
    assert plan.caveats == ("9 days lie between train and valid; labels look 20 days ahead, so they overlap",)


def test_plan_of_a_small_dataset(make_dataset: MakeDataset):
    """Market, benchmark and segments are consistent."""
    plan = make_plan(make_dataset(300, {"all": ["A", "B", "^GSPC"], "demo": ["A", "B"]}), WorkflowSpec())
    assert (plan.market.name, plan.market.symbols, plan.benchmark.symbol) == ("demo", ("A", "B"), "^GSPC")


STOCKS = ("AAA", "BBB", "CCC")


def shorter(make_dataset: MakeDataset, first: int, last: int, days: int = 700) -> Dataset:
    """Return a dataset whose index trades on all days, and whose stocks only on some."""
    dataset = make_dataset(days, {"all": (*STOCKS, "^GSPC")})
    days_of = dataset.calendar
    for symbol in STOCKS:
        path = dataset.folder / "features" / symbol.lower() / "close.day.bin"
        write_bin(path, [1.0] * (last - first + 1), start=first)
    lines = [f"{symbol}\t{days_of[first]}\t{days_of[last]}\n" for symbol in STOCKS]
    lines.append(f"^GSPC\t{days_of[0]}\t{days_of[-1]}\n")
    (dataset.folder / "instruments" / "all.txt").write_text("".join(lines))
    return Dataset(dataset.folder)


def test_segments_lie_where_the_universe_trades(make_dataset: MakeDataset):
    """The index goes on for years; nothing can be learnt or judged where it is alone."""
    dataset = shorter(make_dataset, 100, 449)
    plan, days = make_plan(dataset, WorkflowSpec()), dataset.calendar
    assert plan.days.segments.train[0] == days[100 + ALPHA158.back]
    assert plan.days.segments.test[1] == plan.days.backtest[1] == plan.universe_end == days[449]
    [caveat] = plan.days.caveats
    assert caveat == (
        f"the instruments of all have prices from {days[100]} to {days[449]} (AAA is the last), "
        f"^GSPC goes on to {days[-1]}: the segments end where they trade"
    )


def test_an_index_one_day_ahead_is_a_common_night(make_dataset: MakeDataset):
    """The signals are those of the stocks' last day, and nothing is said about it."""
    dataset = shorter(make_dataset, 0, 698)
    plan, days = make_plan(dataset, WorkflowSpec()), dataset.calendar
    assert plan.days.segments.test[1] == plan.universe_end == days[-2]
    assert plan.days.caveats == ()


def test_a_segment_where_nothing_trades_is_refused(make_dataset: MakeDataset):
    """With who ends where."""
    dataset = shorter(make_dataset, 0, 449)
    days = dataset.calendar
    asked = Segments((days[60], days[300]), (days[310], days[380]), (days[460], days[-1]))
    with pytest.raises(StageError) as caught:
        make_plan(dataset, WorkflowSpec(segments=asked))
    assert caught.value.reason is Reason.SEGMENTS_INVALID
    assert caught.value.message == (
        f"spec.workflow.segments: test [{days[460]}, {days[-1]}] has 0 days on which the universe trades, "
        f"fewer than the 20 it needs: the instruments of all have prices from {days[0]} to {days[449]} (AAA "
        "is the last), and only ^GSPC goes on. Correct the dates, or leave segments to auto."
    )


def test_a_segment_that_reaches_beyond_the_universe_has_a_caveat(make_dataset: MakeDataset):
    """The portfolio holds what it held when its prices ended."""
    dataset = shorter(make_dataset, 0, 449)
    days = dataset.calendar
    asked = Segments((days[60], days[300]), (days[310], days[380]), (days[390], days[-1]))
    [caveat] = make_plan(dataset, WorkflowSpec(segments=asked)).days.caveats
    assert caveat.endswith(
        f"^GSPC goes on to {days[-1]}: nothing trades after that, and holdings stay as they are"
    )


def test_too_few_days_of_the_universe_are_refused(make_dataset: MakeDataset):
    """However long the calendar is."""
    with pytest.raises(
        StageError, match="has 150 days on which all trades, and a run needs at least 224"
    ) as caught:
        make_plan(shorter(make_dataset, 100, 249), WorkflowSpec())
    assert caught.value.reason is Reason.DATASET_TOO_SHORT


@pytest.mark.parametrize(
    ("universes", "without", "fault"),
    [
        ({"all": ["AAA", "^GSPC"]}, [], "has prices of AAA alone"),
        ({"all": ["AAA", "BBB", "^GSPC"]}, ["BBB"], "has prices of AAA alone"),
        ({"all": ["AAA", "^GSPC"]}, ["AAA"], "has no prices"),
    ],
)
def test_one_instrument_alone_is_refused(
    make_dataset: MakeDataset, universes: dict[str, list[str]], without: list[str], fault: str
):
    """Before the training, which would end without a ranking."""
    dataset = make_dataset(300, universes, without_features=without)
    with pytest.raises(StageError) as caught:
        make_plan(dataset, WorkflowSpec())
    assert caught.value.reason is Reason.MARKET_NOT_FOUND
    assert caught.value.message == (
        f'market "all" of us {fault}. A ranking needs two instruments or more: deliver more symbols, or '
        "choose another spec.workflow.market."
    )


def test_instruments_that_never_trade_together_are_refused(make_dataset: MakeDataset):
    """One ends before the other begins."""
    dataset = make_dataset(300, {"all": ["AAA", "BBB", "^GSPC"]})
    write_bin(dataset.folder / "features" / "aaa" / "close.day.bin", [1.0] * 100)
    write_bin(dataset.folder / "features" / "bbb" / "close.day.bin", [1.0] * 100, start=100)
    with pytest.raises(StageError, match=r"never has two prices on one day"):
        make_plan(Dataset(dataset.folder), WorkflowSpec())

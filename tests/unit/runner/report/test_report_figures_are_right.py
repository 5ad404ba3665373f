"""Every figure on the page, computed again by other means from Qlib's records."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from tests.unit.runner.report import independent_figures as recomputed
from tests.unit.runner.report.pages import Page, number, read_page
from tests.unit.runner.report.recorded_runs import artifacts_of

from qlib_shadow_runner.analysis.facts import RunFacts
from qlib_shadow_runner.analysis.figures import ReportMaterial
from qlib_shadow_runner.analysis.outputs import Outputs, read_metadata
from qlib_shadow_runner.analysis.verdict import judge
from qlib_shadow_runner.dataset.quality.checks import RULES
from qlib_shadow_runner.export.metrics import compute_metrics
from qlib_shadow_runner.export.ranked_signals import rank_signals
from qlib_shadow_runner.export.summary import render_summary
from qlib_shadow_runner.report.comparison import MEASURES
from qlib_shadow_runner.stages.qrun import headline
from qlib_shadow_runner.tables.files import read_tables
from qlib_shadow_runner.ui.details import FIGURES

if TYPE_CHECKING:
    from tests.unit.runner.report.conftest import Made


@pytest.fixture(scope="module")
def told(made: Made) -> tuple[Path, Page]:
    """Return Qlib's records and the page."""
    return artifacts_of(made.folder), read_page(made.page.read_text())


def account(artifacts: Path) -> pd.DataFrame:
    """Read what the figures are made of."""
    table: pd.DataFrame = pd.read_pickle(artifacts / "portfolio_analysis/report_normal_1day.pkl")
    return table


def close(cell: str, value: float, digits: float) -> bool:
    """Compare a cell with a value, to the digits of the cell."""
    return number(cell) == pytest.approx(value, abs=0.51 * digits)


def test_returns_are_compounded_as_stated(told: tuple[Path, Page]):
    """Of the portfolio after and before costs, and of the benchmark."""
    artifacts, page = told
    table = account(artifacts)
    columns = (table["return"] - table["cost"], table["return"], table["bench"])
    wanted = [recomputed.performance(column.to_numpy()) for column in columns]
    _, *rows = page.tables["table-performance"]
    assert len(rows) == 16
    for line, (name, *cells) in enumerate(rows):
        for cell, values in zip(cells, wanted, strict=True):
            assert close(cell, values[line], 0.001 if cell.endswith("%") else 0.01), name


def test_excess_return_is_qlibs(told: tuple[Path, Page]):
    """Of 238 days, added up; and of 252, by the same sums."""
    artifacts, page = told
    table = account(artifacts)
    before = table["return"] - table["bench"]
    for column, excess in enumerate((before - table["cost"], before), start=1):
        annual, ratio, worst, usual, usual_ratio = (row[column] for row in page.tables["table-excess"][1:])
        total = excess.cumsum()
        assert close(annual, excess.mean() * 238, 0.001)
        assert close(ratio, excess.mean() / excess.std() * 238**0.5, 0.01)
        assert close(worst, (total - total.cummax()).min(), 0.001)
        assert close(usual, excess.mean() * 252, 0.001)
        assert close(usual_ratio, excess.mean() / excess.std() * 252**0.5, 0.01)


def test_worst_drawdowns_are_the_deepest(told: tuple[Path, Page]):
    """Found again by walking day by day."""
    artifacts, page = told
    table = account(artifacts)
    _, *rows = page.tables["table-drawdowns"]
    wanted = recomputed.drawdowns(table["return"] - table["cost"])
    assert [row[1:4] for row in rows] == [list(found[1:]) for found in wanted]
    assert all(close(row[0], found[0], 0.001) for row, found in zip(rows, wanted, strict=True))
    days = [f"{day:%Y-%m-%d}" for day in table.index]
    for _, peak, _, end, count in rows:
        last = days.index(end) if end in days else len(days) - 1
        assert int(count) == last - days.index(peak)


def test_years_and_months_add_up(told: tuple[Path, Page]):
    """Each is compounded from its own days."""
    artifacts, page = told
    table = account(artifacts)
    net = table["return"] - table["cost"]
    years, benchmark = (recomputed.compounded(series, "%Y") for series in (net, table["bench"]))
    for year, strategy, bench, difference, worst, sharpe, days in page.tables["table-years"][1:]:
        assert close(strategy, years[year], 0.001)
        assert close(bench, benchmark[year], 0.001)
        assert close(difference, years[year] - benchmark[year], 0.001)
        of_this = net[pd.DatetimeIndex(net.index).year == int(year)]
        of_year = recomputed.performance(of_this.to_numpy())
        assert close(worst, of_year[6], 0.001)
        assert close(sharpe, of_year[3], 0.01)
        assert int(days) == len(of_this)
    months = recomputed.compounded(net, "%Y %m")
    _, *heat = page.tables[""][: len(years) + 1]
    shown = {f"{row[0]} {month:02}": cell for row in heat for month, cell in enumerate(row[1:13], 1) if cell}
    assert shown.keys() == months.keys()
    assert all(close(cell, months[key] * 100, 0.1) for key, cell in shown.items())


def test_alpha_beta_and_trading_are_those_of_the_account(told: tuple[Path, Page], made: Made):
    """A line fitted through the days, plain means and sums, and the orders one by one."""
    artifacts, page = told
    table = account(artifacts)
    gained, traded = (table["return"] - table["bench"]).sum(), table["turnover"].sum()
    paid, orders = table["cost"].sum(), of_volume(artifacts, made.dataset)
    largest, shares = max(orders, key=orders.__getitem__), list(orders.values())
    beta, alpha = recomputed.beta_alpha(
        (table["return"] - table["cost"]).to_numpy(), table["bench"].to_numpy()
    )
    said = page.text.replace("\N{MINUS SIGN}", "-")
    assert f"beta {beta:.2f}, alpha {alpha:+.1%} a year" in said
    trading = dict(row[:2] for row in page.tables["table-trading"])
    assert trading == {
        "Turnover a year": f"{table['turnover'].mean() * 252:.1f} times the account, bought and sold",
        "Costs a year": f"{table['cost'].mean() * 252:.2%} of the account",
        "In shares": f"{(table['value'] / table['account']).mean():.1%} of the account",
        "Holdings": "2.0, the largest 60.0% of the account",
        "Break-even cost": f"{gained / traded:.3%} of what is traded; {paid / traded:.3%} was paid",
        "Orders": f"{np.median(shares):.3%} of the day\N{RIGHT SINGLE QUOTATION MARK}s volume in the "
        f"median of {len(shares)}, at most {max(shares):.1%} ({largest[1]}, {largest[0]})",
    }


def of_volume(artifacts: Path, dataset: Path) -> dict[tuple[str, str], float]:
    """Return each order's share of the day's volume."""
    days = (dataset / "calendars/day.txt").read_text().split()
    return {
        (day, name): abs(change) / recomputed.bars(dataset, name, "volume")[days.index(day)]
        for day, name, change in recomputed.trades(artifacts)
    }


def test_horizons_are_those_of_the_datasets_closes(told: tuple[Path, Page], made: Made):
    """From the next day's close, day by day."""
    artifacts, page = told
    rows = page.tables["table-horizons"][1:]
    assert [row[0] for row in rows] == ["1 day", "5 days", "20 days"]
    for horizon, (_, ic, _, rank_ic, _, blocks, days) in zip((1, 5, 20), rows, strict=True):
        wanted = recomputed.correlations_over(horizon, artifacts, made.dataset)
        assert close(ic, wanted["IC"][0], 1e-4)
        assert close(rank_ic, wanted["Rank IC"][0], 1e-4)
        assert int(days) == wanted["IC"][1]
        assert int(blocks) == wanted["IC"][1] // horizon


def test_holdings_and_trades_are_the_positions(told: tuple[Path, Page]):
    """Of the last day, and of the last day with a trade."""
    artifacts, page = told
    assert page.tables["table-holdings"][1:] == [
        ["S001", "60.0%", "779", "15.39"],
        ["S003", "37.0%", "370", "15.39"],
    ]
    every = recomputed.trades(artifacts)
    last = [one for one in every if one[0] == every[-1][0]]
    assert f"h3 Traded on {last[0][0]}" in page.outline
    assert {(row[0], row[1]) for row in page.tables["table-trades"][1:]} == {
        (name, f"{'bought' if change > 0 else 'sold'} {abs(change):.{0 if abs(change) > 100 else 2}f}")
        for _, name, change in last
    }


def test_charts_say_what_was_recorded(told: tuple[Path, Page], made: Made):
    """The best and worst year, the last beta, and the round that the model uses."""
    table = account(told[0])
    net = table["return"] - table["cost"]
    years = recomputed.compounded(net, "%Y")
    best, worst = max(years, key=years.__getitem__), min(years, key=years.__getitem__)
    beta, _ = recomputed.beta_alpha(net.to_numpy()[-126:], table["bench"].to_numpy()[-126:])
    said = made.page.read_text().replace("\N{MINUS SIGN}", "-")
    assert f"Best {best} with {years[best]:+.1%}, worst {worst} with {years[worst]:+.1%}." in said
    assert re.search(rf"Rolling beta to the benchmark, 126 days.{{,80}}; {beta:.2f} in the end", said)
    assert f"{(net > 0).mean():.0%} of 540 days above zero" in said
    assert "3 rounds; the model uses 2, with 0.9300 on valid, 0.8000 on train." in said


def test_correlations_are_those_of_scores_and_labels(told: tuple[Path, Page]):
    """By SciPy, from the predictions themselves and not from the recorded IC."""
    artifacts, page = told
    for name, *cells in page.tables["table-ic"][1:]:
        wanted = recomputed.correlations(artifacts)[name]
        for cell, value, digits in zip(cells, wanted, (1e-4, 1e-4, 1e-3, 1e-2, 1, 1e-3), strict=False):
            assert close(cell, value, digits), name


def test_train_and_valid_stand_beside_the_test(told: tuple[Path, Page], made: Made):
    """Their means over the days that have one, on the page, in the metrics and in the summary."""
    artifacts, page = told
    recorded = pd.read_pickle(artifacts / "segment_ic.pkl")
    metrics = compute_metrics(read_tables(made.folder, read_metadata(made.folder)))
    _, *rows = page.tables["table-segments"]
    assert [row[0] for row in rows] == ["train", "valid", "test"]
    for (name, ic, rank_ic, days), count in zip(rows[:2], (11, 7), strict=True):
        wanted = [recorded.xs(name, level="segment")[column].dropna() for column in ("ic", "rank_ic")]
        assert close(ic, wanted[0].mean(), 1e-4)
        assert close(rank_ic, wanted[1].mean(), 1e-4)
        assert (int(days), len(wanted[0])) == (count, count)
        assert metrics["icTrain" if name == "train" else "icValid"] == pytest.approx(wanted[0].mean())
    assert rows[2][1] == page.tables["table-ic"][1][1]
    assert "far higher on train than on test means that the model is overfit" in page.text


def test_fifths_are_those_of_the_scores(told: tuple[Path, Page]):
    """Each day sorted by hand; the spread is best less worst."""
    artifacts, page = told
    wanted = recomputed.fifths(artifacts)
    *rows, spread = page.tables["table-groups"][1:]
    assert all(close(row[1], value * 1e4, 0.1) for row, value in zip(rows, wanted, strict=True))
    assert close(spread[1].split()[0], (wanted[0] - wanted[4]) * 1e4, 0.1)


def test_todays_signals_are_the_last_days(told: tuple[Path, Page]):
    """Best and worst, and where they stood the day before."""
    artifacts, page = told
    scores = pd.read_pickle(artifacts / "pred.pkl")["score"].unstack()  # noqa: PD010 - one value each
    ranks = scores.rank(axis=1, ascending=False).astype(int)
    shown = page.tables["table-best"][1:] + page.tables["table-worst"][1:]
    assert [int(row[0]) for row in shown] == list(range(1, 21))
    for rank, name, score, before in shown:
        assert ranks[name].iloc[-1] == int(rank)
        assert close(score, scores[name].iloc[-1], 1e-4)
        assert ranks[name].iloc[-2] == int(before)


def test_features_are_sorted_by_gain(told: tuple[Path, Page]):
    """The gains of every tree, by the handler's own names."""
    rows = [row[:2] for row in told[1].tables[""] if len(row) == 3 and row[1].endswith("%")]
    assert rows == [["KMID", "69.0%"], ["<c>", "21.0%"], ["$b", "10.0%"]]


def test_drawdown_of_the_excess_is_called_what_it_is(told: tuple[Path, Page]):
    """On the page, in comparisons, in the pages, and in the printed line: of differences added up."""
    named = "Drawdown of summed excess returns"
    assert told[1].tables["table-excess"][3][0] == named
    assert named in {measure.name for measure in MEASURES}
    assert named in {name for name, key, _ in FIGURES if key == "maxDrawdown"}
    assert headline({"maxDrawdown": -1.058}) == "drawdown of summed excess -105.8%"


ROW = re.compile(r"^\| (above|within|below|unknown) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
SIGNS: dict[str, int | None] = {"above": 1, "within": 0, "below": -1, "unknown": None}
MEANT: dict[str, list[tuple[int | None, float, int | None]]] = {
    "above": [(1, 0.1, 1)],
    "within, more than zero": [(0, 0.1, 0)],
    "not more than zero": [(0, 0.0, 0), (0, -0.1, 0), (-1, -0.1, -1)],
    "within": [(0, 0.1, 0), (0, -0.1, 0)],
    "below, before costs too": [(-1, -0.1, -1)],
    "below, after costs alone": [(-1, -0.1, 0), (-1, -0.1, 1)],
    "any": [(1, 0.1, 1), (0, 0.1, 0), (-1, -0.1, -1)],
    "or unknown": [(None, 0.0, None)],
}
"""What the excess return is to chance, its mean, and what it is before costs."""


def judged(signal: int | None, profit: tuple[int | None, float, int | None]) -> str:
    """Return the headline for what IC and excess return are to chance."""
    sign, mean, gross = profit
    ic = Mock(chance=Mock(sign=signal, words=""), mean=None)
    summary = Mock(excess=Mock(sign=sign, mean=mean), gross_excess=Mock(sign=gross), benchmark=None)
    summary.trading.cost = None
    plain = Mock(ic=ic, rank_ic=None, summary=summary, ties=None, rounds=None, frozen=None)
    ic.mean = 0.0
    return judge(plain, {}, RunFacts()).headline


def test_verdict_follows_the_documented_rules():
    """For every row of the page's table."""
    rows = ROW.findall((Path(__file__).parents[4] / "docs" / "report.md").read_text())
    assert len(rows) == 9
    for signal, profit, verdict in rows:
        assert {judged(SIGNS[signal], other) for other in MEANT[profit]} == {verdict}
    assert judged(1, (None, 0.0, None)) == rows[-1][2]


ASKED = {
    "benchmark_excluded": False,
    "segments_chosen_by": "auto",
    "segments_rule": "60%, 15% and the rest of 300 days, which are fewer than eight years",
    "segments": dict.fromkeys(("train", "valid", "test"), ("2020-01-02", "2020-01-03")),
    "segment_days": dict.fromkeys(("train", "valid", "test"), 2),
    "backtest": ("2020-01-02", "2020-01-03"),
    "label_looks_ahead_days": 2,
    "strategy": {"topk": 1, "n_drop": 1},
    "exchange": {
        **dict.fromkeys(("open_cost", "close_cost", "min_cost", "impact_cost"), 0),
        "deal_price": "close",
        "account": 1,
        "trade_unit": 1,
        "limit_threshold": None,
    },
}


def test_summary_and_page_have_the_same_figures(made: Made):
    """Months, features, ranks, holdings and the worst signals, in Markdown."""
    page, tables = read_page(made.page.read_text()), read_tables(made.folder, read_metadata(made.folder))
    run = {**read_metadata(made.folder), **ASKED}
    figures = ReportMaterial(Outputs(tables), RunFacts.of(run)).figures
    signals = rank_signals(tables)
    text = render_summary(run, compute_metrics(tables), figures, signals, "signals_ranked.parquet")
    told = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    for name, table in (("percent, after costs", figures.months), ("mean IC, hundredths", figures.ic_months)):
        first = next(place for place, cells in enumerate(told) if cells[0] == name)
        for year, cells in zip(table, told[first + 2 :], strict=False):
            assert cells[0] == str(year)
            shown = {month: float(cell) for month, cell in enumerate(cells[1:], start=1) if cell}
            assert shown == pytest.approx({m: 100 * value for m, value in table[year].items()}, abs=0.051)
    worst = [cells for cells in told if cells[0] in {row[0] for row in page.tables["table-worst"][1:]}]
    assert [cells[1] for cells in worst] == [row[1] for row in page.tables["table-worst"][1:]]
    assert "of the day before by " in text
    assert f"{page.tables['table-trading'][3][1].partition(',')[0]}0 holdings, the largest 60.00%" in text
    features = [cells for cells in told if cells[0].startswith("`")]
    assert [name.strip("`") for name, _ in features] == [name for name, _ in figures.features]
    assert "\n\n\n" not in text
    assert "\n- waived: split_jumps of S003, 2023-02-01 (1): it fell\n" in text + "\n"


def test_page_has_the_advice_of_each_finding_once_and_what_was_waived(made: Made):
    """Not only that of the worst, and on top, where it is read."""
    text = " ".join(read_page(made.page.read_text()).text.split())
    quality = read_metadata(made.folder)["dataset_quality"]
    assert isinstance(quality, dict)
    for check in quality["checks"]:
        hint = " ".join(RULES[check["name"]].hint.split())
        assert (text.count(hint), text.count(check["hint"])) == (1, int(check["hint"] == hint)), check
    assert re.search(r"high low ?2: S001 2023-01-03 !? ?missing days ?1: S002 !? ?.? ?split jumps", text)
    assert "split jumps, waived1 of S003, 2023-02-01: it fell" in text

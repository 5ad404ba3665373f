"""The same curves as a user would draw them in a notebook: pandas, pyplot of Matplotlib, one SVG each.

It draws most of what a report has charts of, and nothing else of a report: no tables, no checks, no page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

YEAR = 252
WINDOW = 126
FIFTHS = 5


def draw_all(artifacts: Path, into: Path) -> int:
    """Draw every picture and give their number."""
    mpl.use("svg")
    into.mkdir(exist_ok=True)
    drawn = {**_performance(artifacts), **_signals(artifacts)}
    for name, picture in drawn.items():
        figure, axes = plt.subplots(figsize=(6, 3.5))
        picture.plot(ax=axes, kind="bar" if len(picture) <= FIFTHS else "line")
        figure.savefig(into / f"{name}.svg")
        plt.close(figure)
    return len(drawn)


def _performance(artifacts: Path) -> dict[str, Any]:
    table = pd.read_pickle(artifacts / "portfolio_analysis/report_normal_1day.pkl")
    net = table["return"] - table["cost"]
    curves = pd.DataFrame({"net": net, "gross": table["return"], "benchmark": table["bench"]})
    wealth = (1 + curves).cumprod()
    rolling = net.rolling(WINDOW)
    return {
        "growth": wealth - 1,
        "drawdown": wealth["net"] / wealth["net"].cummax() - 1,
        "excess": curves.sub(table["bench"], axis=0)[["net", "gross"]].cumsum(),
        "sharpe": rolling.mean() / rolling.std() * YEAR**0.5,
        "volatility": rolling.std() * YEAR**0.5,
        "turnover": table["turnover"].rolling(21).mean(),
        "cost": table["cost"].cumsum(),
        "exposure": table["value"] / table["account"],
    }


def _signals(artifacts: Path) -> dict[str, Any]:
    scores, labels = (pd.read_pickle(artifacts / name).iloc[:, 0] for name in ("pred.pkl", "label.pkl"))
    named = {"ic": "IC", "ric": "Rank IC"}
    ic = pd.DataFrame(
        {name: pd.read_pickle(artifacts / f"sig_analysis/{file}.pkl") for file, name in named.items()}
    )
    ranks = scores.groupby(level=0).rank(pct=True, method="first")
    fifth = (ranks * FIFTHS).clip(upper=FIFTHS - 1e-9).astype(int)
    means = labels.groupby([labels.index.get_level_values(0), fifth]).mean().unstack()  # noqa: PD010 - as notebooks do
    table = ranks.unstack()  # noqa: PD010
    return {
        "ic": ic.rolling(21).mean(),
        "ic-cumulative": ic.cumsum(),
        "ic-distribution": pd.cut(ic["IC"].dropna(), 31).value_counts(sort=False).reset_index(drop=True),
        "groups": means.mean(),
        "long-short": (means[FIFTHS - 1] - means[0]).cumsum(),
        "autocorrelation": table.corrwith(table.shift(1), axis=1),
    }

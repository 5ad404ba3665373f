"""The summary page: what was asked, of which data, and the figures, with their caveats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import jinja2

from qlib_shadow_runner.analysis.facts import RunFacts
from qlib_shadow_runner.analysis.model_state import state_rows
from qlib_shadow_runner.analysis.verdict import judge
from qlib_shadow_runner.contract.escapes import in_one_line
from qlib_shadow_runner.dataset.quality.assess import warnings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from qlib_shadow_runner.analysis.figures import ReportFigures
    from qlib_shadow_runner.contract import Metrics

TEMPLATE: Final = "backtest_summary.md.j2"
SHOWN: Final = 10
ABSENT: Final = "-"


def render_summary(
    metadata: Mapping[str, object],
    metrics: Metrics,
    figures: ReportFigures,
    signals: pd.DataFrame,
    signals_file: str,
) -> str:
    """Return the page as Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("qlib_shadow_runner", "export"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: in_one_line(value) if isinstance(value, str) else value,
    )
    environment.filters["percent"] = lambda value: ABSENT if value is None else f"{value:.2%}"
    environment.filters["figure"] = lambda value: ABSENT if value is None else f"{value:.4f}"
    environment.filters["short"] = lambda value: ABSENT if value is None else f"{value:.2f}"
    environment.filters["points"] = lambda value: ABSENT if value is None else f"{value * 1e4:+.1f}"
    environment.filters["hundredths"] = lambda value: (
        "" if value is None else f"{round(value * 100, 1) + 0:.1f}"
    )
    environment.filters["day"] = lambda value: f"{value:%Y-%m-%d}"
    last = signals[signals["date"] == signals["date"].max()].head(SHOWN)
    return environment.get_template(TEMPLATE).render(
        run=metadata,
        metrics=metrics,
        figures=figures,
        verdict=judge(figures, metrics, RunFacts.of(metadata)),
        quality_warnings=warnings_of(metadata.get("dataset_quality")),
        states=state_rows(metadata),
        signals_file=signals_file,
        last_day=f"{last['date'].iloc[0]:%Y-%m-%d}",
        best=last.to_dict("records"),
        shown=SHOWN,
    )

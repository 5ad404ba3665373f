"""report.html: one file with its style and its charts, which needs no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from qlib_shadow_runner.analysis.facts import RunFacts
from qlib_shadow_runner.analysis.figures import ReportFigures, ReportMaterial
from qlib_shadow_runner.analysis.known_types import well_typed
from qlib_shadow_runner.analysis.model_state import StateRow, state_rows
from qlib_shadow_runner.analysis.outputs import Outputs, read_metadata
from qlib_shadow_runner.analysis.verdict import judge
from qlib_shadow_runner.contract import METRICS_FILE, Metrics
from qlib_shadow_runner.contract.escapes import in_lines
from qlib_shadow_runner.dataset.quality.assess import warnings_of
from qlib_shadow_runner.report.charts.canvas import NARROW, WIDE, Chart
from qlib_shadow_runner.report.charts.performance_charts import performance_charts
from qlib_shadow_runner.report.charts.signal_charts import learning_chart, signal_charts
from qlib_shadow_runner.report.details import Details
from qlib_shadow_runner.report.formats import FILTERS
from qlib_shadow_runner.report.templating import environment_of
from qlib_shadow_runner.storage.files import read_json_object
from qlib_shadow_runner.tables.files import read_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import jinja2

    from qlib_shadow_runner.analysis.learning import LearningCurve
    from qlib_shadow_runner.verify import AcceptanceLine
    from qlib_shadow_runner.verify.evidence import Evidence

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ROWS: Final = 25
"""The most holdings, and trades, that are listed."""


@dataclass(frozen=True)
class Report:
    """The content of the page."""

    metadata: Mapping[str, object]
    metrics: Mapping[str, object]
    figures: ReportFigures
    details: Details
    charts: Sequence[Chart]
    states: Sequence[StateRow]
    """Drift and decay of the model."""
    checks: Sequence[AcceptanceLine]
    """The golden run's checklist; empty while the run is running."""


def gather(evidence: Evidence, material: ReportMaterial, checks: Sequence[AcceptanceLine]) -> Report:
    """Return the content of the page."""
    folder, metadata = evidence.folder, well_typed(evidence.metadata)
    details = Details.of(material, folder, metadata, _dataset_of(evidence))
    return Report(
        metadata=metadata,
        metrics=read_json_object(folder / METRICS_FILE) or {},
        figures=material.figures,
        details=details,
        charts=list(_charts(material, details.curve)),
        states=state_rows(evidence.metadata),
        checks=checks,
    )


def charts_of(folder: Path) -> list[Chart]:
    """Return the charts of one run."""
    metadata = read_metadata(folder)
    material = ReportMaterial(Outputs(read_tables(folder, metadata)), RunFacts.of(metadata))
    return list(_charts(material, Details.of(material, folder, metadata, None).curve))


def _charts(material: ReportMaterial, curve: LearningCurve | None) -> Iterator[Chart]:
    backtest, holdings = material.backtest, material.outputs.holdings
    if backtest is not None:
        yield from performance_charts(backtest, holdings)
    yield from signal_charts(material.signals)
    if curve is not None:
        yield learning_chart(curve, material.outputs.rounds)


def _dataset_of(evidence: Evidence) -> Path | None:
    """Return the folder of the run's dataset, or None where it is not there or not named."""
    try:
        return evidence.dataset
    except (OSError, LookupError):
        return None


def render_report(report: Report) -> str:
    """Return the page."""
    return filled_in(
        "report.html.j2",
        run=report.metadata,
        metrics={name: report.metrics.get(name) for name in Metrics.__annotations__},
        figures=report.figures,
        verdict=judge(report.figures, report.metrics, RunFacts.of(report.metadata)),
        quality_warnings=warnings_of(report.metadata.get("dataset_quality")),
        details=report.details,
        rows_shown=ROWS,
        charts={chart.name: drawn(chart) for chart in report.charts},
        checks=report.checks,
        states=report.states,
        months=MONTHS,
        yearly={year.year: year.strategy for year in report.figures.summary.years}
        if report.figures.summary
        else {},
    )


def filled_in(template: str, **values: object) -> str:
    """Return a page in which no character is hidden or reverses the others."""
    return in_lines(environment().get_template(template).render(values))


def environment() -> jinja2.Environment:
    """Return the Jinja environment; all values from a run are escaped."""
    found = environment_of("report/templates", ["jinja2.ext.do"])
    found.filters.update(FILTERS)
    style = Path(__file__).with_name("templates") / "style.css"
    found.globals["style"] = Markup(style.read_text(encoding="utf-8"))  # noqa: S704 - ours
    return found


def drawn(chart: Chart) -> Mapping[str, Any]:
    """Return a chart for the template; a wide one also has a form for narrow screens."""
    wide = chart.size == WIDE
    return {
        "name": chart.name,
        "title": chart.title,
        "says": chart.says,
        "svg": chart.svg(),
        "narrow": chart.svg(NARROW, "-narrow") if wide else None,
    }

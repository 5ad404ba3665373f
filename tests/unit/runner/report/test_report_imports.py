"""A report imports no modules that it does not need, and computes its figures once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pytest
    from tests.unit.runner.report.conftest import Made

MAKE: Final = """
import pathlib, sys
from qlib_shadow_runner.report.make import report_of
report_of(pathlib.Path(sys.argv[1]))
print(*sorted(set(sys.argv[2:]) & set(sys.modules)))
"""
LATER: Final = """
from qlib_shadow_runner.analysis.statistics import empyrical
import pandas, scipy.stats, sys
days = pandas.bdate_range("2024-01-01", periods=30)
steady = pandas.Series([0.01, 0.02] * 15, index=days)
print(round(empyrical.stability_of_timeseries(steady), 2), scipy.stats.ttest_1samp([1.0, 3.0], 0.0).statistic)
"""
HEAVY: Final = (
    "qlib",
    "lightgbm",
    "mlflow",
    "numba",
    "duckdb",
    "scipy.stats",
    "scipy.optimize",
    "matplotlib.pyplot",
)
"""What takes about a second to load, each."""


def run_python(*words: str) -> str:
    """Run Python in a process of its own."""
    done = subprocess.run([sys.executable, "-c", *words], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


def test_report_imports_nothing_heavy(made: Made):
    """Matplotlib and pandas are imported; libraries that no figure uses are not."""
    assert run_python(MAKE, str(made.folder), *HEAVY, "matplotlib", "pandas").split() == [
        "matplotlib",
        "pandas",
    ]


def test_deferred_scipy_function_works_when_called():
    """Empyrical's calls into SciPy work, and other modules see the real SciPy."""
    assert run_python(LATER).split() == ["1.0", "2.0"]


def test_figures_are_computed_once(made: Made, monkeypatch: pytest.MonkeyPatch):
    """The checklist checks the summary with the same figures as the page's."""
    from qlib_shadow_runner.analysis import figures  # noqa: PLC0415 - they take seconds to load
    from qlib_shadow_runner.report.make import report_of  # noqa: PLC0415

    worked_out = []
    once = figures.compute_figures

    def counted(material: figures.ReportMaterial) -> figures.ReportFigures:
        worked_out.append(material)
        return once(material)

    monkeypatch.setattr(figures, "compute_figures", counted)
    assert "backtest_summary.md" in report_of(made.folder)
    assert len(worked_out) == 1

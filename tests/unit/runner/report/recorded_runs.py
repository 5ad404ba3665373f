"""Run folders as Qlib's recorder and our stages leave them, made in a moment and of any shape.

What is pickled has the classes' names of Qlib and LightGBM, and nothing of them but names. The golden run's
tests hold reports to what the real ones leave.
"""

from __future__ import annotations

import json
import pickle
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from qlib_shadow_runner.contract import ARTIFACTS, Metrics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MLFLOW_RUN = "0" * 31 + "1"
MODEL = """\
tree
feature_names={names}
feature_infos={infos}

Tree=0
split_feature=0 2 1
split_gain=30 10.5 5

Tree=1
split_feature=0
split_gain=4.5
"""


@dataclass(frozen=True)
class Shape:
    """What a generated run looks like."""

    days: int = 540
    symbols: int = 20
    seed: int = 1
    start: str = "2023-01-02"
    skill: float = 0.1
    """How much of the labels the scores know."""


def calendar(shape: Shape) -> pd.DatetimeIndex:
    """Return the weekdays of a run."""
    return pd.bdate_range(shape.start, periods=shape.days, name="datetime")


def report_table(shape: Shape) -> pd.DataFrame:
    """Return a daily account as Qlib writes it."""
    random = np.random.default_rng(shape.seed)
    bench = random.normal(0.0004, 0.01, shape.days)
    gross = bench + random.normal(0.0005, 0.004, shape.days)
    gross[0] = 0.0
    cost = np.where(np.arange(shape.days) > 0, 0.0002, 0.0)
    account = 1e8 * np.cumprod(1 + gross - cost)
    return pd.DataFrame(
        {
            "account": account,
            "return": gross,
            "turnover": random.uniform(0.1, 0.2, shape.days),
            "cost": cost,
            "value": account * (invested := random.uniform(0.9, 0.99, shape.days)),
            "cash": account * (1 - invested),
            "bench": bench,
        },
        index=calendar(shape),
    )


def scores_and_labels(shape: Shape) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return predictions, and what followed on them; the last two days have nothing to follow yet."""
    random = np.random.default_rng(shape.seed + 1)
    index = pd.MultiIndex.from_product(
        [calendar(shape), [f"S{i:03}" for i in range(shape.symbols)]], names=["datetime", "instrument"]
    )
    label = random.normal(0, 0.02, len(index))
    score = shape.skill * label + random.normal(0, 0.02, len(index))
    label[-2 * shape.symbols :] = np.nan
    return pd.DataFrame({"score": score}, index=index), pd.DataFrame({"LABEL0": label}, index=index)


def correlations(scores: pd.DataFrame, labels: pd.DataFrame, method: Any) -> pd.Series:
    """Correlate day by day, as Qlib does; a day without labels has none."""
    both = scores.join(labels)
    found = {day: part["score"].corr(part["LABEL0"], method=method) for day, part in both.groupby(level=0)}
    return pd.Series(found, name="datetime")


def risk_table(report: pd.DataFrame) -> pd.DataFrame:
    """Analyse the risk with Qlib's own convention."""
    groups = {
        "excess_return_without_cost": report["return"] - report["bench"],
        "excess_return_with_cost": report["return"] - report["bench"] - report["cost"],
    }
    return pd.concat({name: _risk(series) for name, series in groups.items()})


def _risk(series: pd.Series) -> pd.DataFrame:
    total = series.cumsum()
    found = {
        "mean": series.mean(),
        "std": series.std(ddof=1),
        "annualized_return": series.mean() * 238,
        "information_ratio": series.mean() / series.std(ddof=1) * 238**0.5,
        "max_drawdown": (total - total.cummax()).min(),
    }
    return pd.DataFrame({"risk": found})


def foreign(path: str, **state: object) -> object:
    """Make an object of a class that is pickled by this path."""
    module, _, name = path.rpartition(".")
    made: object = object.__new__(type(name, (), {"__module__": module}))
    made.__dict__.update(state)
    return made


def dump(target: Path, value: object, *classes: object) -> None:
    """Pickle something with objects whose modules are not there."""
    modules: dict[str, ModuleType] = {}
    for one in classes:
        kind = type(one)
        words = kind.__module__.split(".")
        for end in range(1, len(words) + 1):
            name = ".".join(words[:end])
            modules.setdefault(name, ModuleType(name))
        setattr(modules[kind.__module__], kind.__name__, kind)
    with patch.dict(sys.modules, modules):
        target.write_bytes(pickle.dumps(value))


def metadata(run_id: str, shape: Shape) -> dict[str, object]:
    """Say what a finished run says of itself."""
    days = calendar(shape)
    return {
        "schema": 1, "run_id": run_id, "name": run_id, "namespace": "local", "uid": f"uid-{run_id}",
        "status": "complete", "reason": "Succeeded", "git_commit": "0" * 40, "seed": shape.seed,
        "started_at_utc": "2026-11-21T10:00:00.000Z", "finished_at_utc": "2026-11-21T10:01:00.000Z",
        "python": "3.11.7", "packages": {"pyqlib": "0.9.7"}, "mlflow_run_id": MLFLOW_RUN,
        "config_hash": "c" * 64, "dataset_fingerprint": "f" * 64, "dataset_source": "prices",
        "dataset_resolved_path": "/data/qlib/qlib_data/us_data_1d@ffffffffffff",
        "dataset_start": "2020-01-02", "dataset_end": f"{days[-1]:%Y-%m-%d}", "dataset_days": 900,
        "dataset_instruments": shape.symbols + 1, "market": "us", "market_size": shape.symbols,
        "market_chosen_by": "auto", "benchmark": "^GSPC", "benchmark_chosen_by": "auto",
        "segments": {"test": [f"{days[0]:%Y-%m-%d}", f"{days[-1]:%Y-%m-%d}"]},
        "segment_days": {"test": shape.days}, "template": "lightgbm-alpha158", "model": "LGBModel",
        "handler": "Alpha158", "label_looks_ahead_days": 2, "label_horizon_days": 1,
        "caveats": ["The simulation fills every order at the day's price."],
        "stages": {"qrun": {"attempts": 1, "started_at_utc": "2026-11-21T10:00:00.000Z", "seconds": 60.0}},
        "dataset_quality": {
            "engineering_state": "ok", "source_state": "warn", "policy_state": "ok", "overall_state": "warn",
            "reason_code": "HighLow", "action_hint": "Look at the bars.",
            "checks": [{"name": "high_low", "state": "warn", "count": 2, "examples": ["S001 2023-01-03"]}],
        },
    }  # fmt: skip


def make_run(data: Path, run_id: str = "made", shape: Shape | None = None, **more: object) -> Path:
    """Leave a run folder on a volume."""
    shape = shape or Shape()
    folder = data / ARTIFACTS / run_id
    artifacts = folder / "mlruns" / "1" / MLFLOW_RUN / "artifacts"
    for name in ("sig_analysis", "portfolio_analysis"):
        (artifacts / name).mkdir(parents=True)
    (artifacts.parent / "meta.yaml").write_text("artifact_uri: x\nstatus: 3\nstart_time: 1\n")
    (folder / "mlruns" / "1" / "meta.yaml").write_text(f"name: {run_id}\n")
    report = report_table(shape)
    write_artifacts(artifacts, report, shape)
    figures = figures_of(report, artifacts)
    (folder / "metrics.json").write_text(json.dumps({"runId": run_id, **figures}))
    (folder / "results").mkdir()
    (folder / "results" / "qrun.json").write_text(json.dumps({"metrics": figures}))
    (folder / "workflow.yaml").write_text(
        f"task:\n  model: {{kwargs: {{seed: {shape.seed}, num_threads: 2}}}}\n"
    )
    (folder / "RUN_METADATA.json").write_text(json.dumps({**metadata(run_id, shape), **more}))
    return folder


def write_artifacts(artifacts: Path, report: pd.DataFrame, shape: Shape) -> None:
    """Pickle what Qlib's records pickle."""
    scores, labels = scores_and_labels(shape)
    scores.to_pickle(artifacts / "pred.pkl")
    labels.to_pickle(artifacts / "label.pkl")
    correlations(scores, labels, "pearson").to_pickle(artifacts / "sig_analysis/ic.pkl")
    correlations(scores, labels, "spearman").to_pickle(artifacts / "sig_analysis/ric.pkl")
    report.to_pickle(artifacts / "portfolio_analysis/report_normal_1day.pkl")
    risk_table(report).to_pickle(artifacts / "portfolio_analysis/port_analysis_1day.pkl")
    held = {"cash": 1.0, "now_account_value": 9.0, "S001": {"weight": 0.6}, "S002": {"weight": 0.37}}
    positions = {day: foreign("qlib.backtest.position.Position", position=held) for day in report.index}
    position = next(iter(positions.values()))
    for one in positions.values():
        one.__class__ = type(position)  # pickle knows a class by its identity
    dump(artifacts / "portfolio_analysis/positions_normal_1day.pkl", positions, position)
    names = " ".join(f"Column_{i}" for i in range(3))
    booster = foreign("lightgbm.basic.Booster", _handle=MODEL.format(names=names, infos="none none none"))
    model = foreign("qlib.contrib.model.gbdt.LGBModel", model=booster)
    dump(artifacts / "params.pkl", model, model, booster)
    loader = foreign(
        "qlib.data.dataset.loader.QlibDataLoader",
        fields={"feature": (["a", "b", "c"], ["KMID", "$b", "<c>"])},
    )
    handler = foreign("qlib.contrib.data.handler.Alpha158", data_loader=loader)
    dataset = foreign("qlib.data.dataset.DatasetH", handler=handler)
    dump(artifacts / "dataset", dataset, dataset, handler, loader)


def figures_of(report: pd.DataFrame, artifacts: Path) -> Mapping[str, float]:
    """Return what the export writes into metrics.json."""
    from qlib_shadow_runner.export.metrics import compute_metrics  # noqa: PLC0415

    del report
    found: Metrics = compute_metrics(artifacts)
    return {name: float(str(value)) for name, value in found.items()}


def artifacts_of(folder: Path) -> Path:
    """Say where a made run's pickles lie."""
    return folder / "mlruns" / "1" / MLFLOW_RUN / "artifacts"

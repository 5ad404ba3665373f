"""Run folders as Qlib's recorder and our stages leave them, made in a moment and of any shape.

What is pickled has the classes' names of Qlib and LightGBM, and nothing of them but names. The golden run's
tests hold reports to what the real ones leave.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from qlib_shadow_runner.contract import ARTIFACTS
from qlib_shadow_runner.export.metrics import compute_metrics
from qlib_shadow_runner.tables.conversion import convert
from qlib_shadow_runner.tables.files import encode

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.tables.layout import Tables

MLFLOW_RUN = "0" * 31 + "1"
FIELDS = ("open", "high", "low", "close", "volume", "factor", "change")
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


def by_segment(shape: Shape) -> pd.DataFrame:
    """Return IC and Rank IC of days of train and valid; the last day of each has none."""
    random = np.random.default_rng(shape.seed + 2)
    days = pd.bdate_range("2020-01-02", periods=20)
    index = pd.MultiIndex.from_arrays([days, ["train"] * 12 + ["valid"] * 8], names=["datetime", "segment"])
    values = random.normal([[0.4, 0.3]], 0.1, (20, 2))
    values[[11, 19]] = np.nan
    return pd.DataFrame(values, index=index, columns=["ic", "rank_ic"])


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
    """Write something with objects whose modules are not there."""
    target.write_bytes(dumped(value, *classes))


def dumped(value: object, *classes: object) -> bytes:
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
        return pickle.dumps(value)


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
            "checks": [
                {"name": "high_low", "state": "warn", "count": 2, "examples": ["S001 2023-01-03"],
                 "hint": "Compare these bars with the source."},
                {"name": "missing_days", "state": "warn", "count": 1, "examples": ["S002"],
                 "hint": "Ask it."},
            ],
            "waived": [{"finding": "split_jumps", "instrument": "S003", "day": "2023-02-01", "why": "it fell",
                        "count": 1}],
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
    write_metrics(artifacts.parent / "metrics")
    write_artifacts(artifacts, report_table(shape), shape)
    tables = convert(folder, artifacts)
    figures = compute_metrics(tables)
    (folder / "metrics.json").write_text(json.dumps({"runId": run_id, **figures}))
    (folder / "results").mkdir()
    (folder / "results" / "qrun.json").write_text(json.dumps({"metrics": figures}))
    (folder / "workflow.yaml").write_text(
        f"task:\n  model: {{kwargs: {{seed: {shape.seed}, num_threads: 2}}}}\n"
    )
    (folder / "RUN_METADATA.json").write_text(json.dumps({**metadata(run_id, shape), **more}))
    write_tables(folder, tables)
    return folder


def without_tables(folder: Path) -> None:
    """Leave a made run as one that is older than tables, or that ended before it wrote them."""
    shutil.rmtree(folder / "tables")
    document = json.loads((folder / "RUN_METADATA.json").read_bytes())
    (folder / "RUN_METADATA.json").write_text(json.dumps({**document, "outputs": {}}))


def write_tables(folder: Path, tables: Tables | None = None) -> None:
    """Write the tables of a made run, whose pickles may have been changed, as the export does."""
    contents = encode(tables or convert(folder, artifacts_of(folder)))
    (folder / "tables").mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    outputs = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    document = json.loads((folder / "RUN_METADATA.json").read_bytes())
    (folder / "RUN_METADATA.json").write_text(json.dumps({**document, "outputs": outputs}))


def drift_table() -> pd.DataFrame:
    """Return how far the newest days are from those before."""
    rows = {
        ("days", "train"): 800.0,
        ("features", "F0"): 0.7,
        ("scores", "all"): 0.5,
        ("unknown", "why"): np.nan,
    }
    return pd.DataFrame({"value": pd.Series(rows).rename_axis(["measure", "name"])})


def write_artifacts(artifacts: Path, report: pd.DataFrame, shape: Shape) -> None:
    """Pickle what Qlib's records pickle."""
    scores, labels = scores_and_labels(shape)
    scores.to_pickle(artifacts / "pred.pkl")
    days = scores.index.get_level_values(0)
    scores[days.isin(days.unique().sort_values()[-2:])].to_pickle(artifacts / "live_pred.pkl")
    labels.to_pickle(artifacts / "label.pkl")
    correlations(scores, labels, "pearson").to_pickle(artifacts / "sig_analysis/ic.pkl")
    correlations(scores, labels, "spearman").to_pickle(artifacts / "sig_analysis/ric.pkl")
    by_segment(shape).to_pickle(artifacts / "segment_ic.pkl")
    drift_table().to_pickle(artifacts / "drift.pkl")
    report.to_pickle(artifacts / "portfolio_analysis/report_normal_1day.pkl")
    risk_table(report).to_pickle(artifacts / "portfolio_analysis/port_analysis_1day.pkl")
    positions = {
        day: foreign("qlib.backtest.position.Position", position=held_on(number))
        for number, day in enumerate(report.index)
    }
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


def held_on(number: int) -> dict[str, object]:
    """Return the position after so many days: one holding that grows, and two that take turns."""
    price, other = 10 + number / 100, f"S00{2 + number // 5 % 2}"
    return {
        "cash": 1.0,
        "now_account_value": 9.0,
        "S001": {"amount": 600.0 + number // 3, "price": price, "weight": 0.6},
        other: {"amount": 370.5, "price": price, "weight": 0.37},
    }


def write_metrics(metrics: Path) -> None:
    """Write a learning curve as MLflow does; the model of these runs has two trees."""
    metrics.mkdir()
    for name, values in {"train": (0.9, 0.8, 0.7), "valid": (0.95, 0.93, 0.94)}.items():
        lines = [f"179606068{step} {value} {step}\n" for step, value in enumerate(values)]
        (metrics / f"l2.{name}").write_text("".join(lines))
    (metrics / "IC").write_text("1796060681 0.05 0\n")


def write_dataset(data: Path, folder: Path, shape: Shape) -> Path:
    """Write a dataset of the run's size in Qlib's layout; every instrument trades on every day."""
    told = json.loads((folder / "RUN_METADATA.json").read_text())
    home = data.joinpath(*str(told["dataset_resolved_path"]).split("/")[2:])
    days = [f"{day:%Y-%m-%d}\n" for day in calendar(shape)]
    for name in ("calendars", "instruments"):
        (home / name).mkdir(parents=True)
    (home / "calendars/day.txt").write_text("".join(days))
    names = [f"S{number:03}" for number in range(shape.symbols)]
    lines = [f"{name}\t{days[0].strip()}\t{days[-1]}" for name in names]
    (home / "instruments/us.txt").write_text("".join(lines))
    random = np.random.default_rng(shape.seed + 2)
    for name in names:
        place = home / "features" / name.lower()
        place.mkdir(parents=True)
        closes = 50 * np.cumprod(1 + random.normal(0, 0.02, shape.days))
        volume = random.integers(1_000, 9_000, shape.days)
        for field in FIELDS:
            bars = volume if field == "volume" else closes
            np.concatenate([[0], bars]).astype("<f4").tofile(place / f"{field}.day.bin")
    return home


def artifacts_of(folder: Path) -> Path:
    """Say where a made run's pickles lie."""
    return folder / "mlruns" / "1" / MLFLOW_RUN / "artifacts"

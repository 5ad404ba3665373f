"""The live IC of a model: of all runs that used it, over the label's horizon; a damaged file is named."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.unit.runner.catalog.volumes import SmallVolume

from qlib_shadow_runner.catalog.followup import FILE, SCHEMA
from qlib_shadow_runner.catalog.live_ic import decay_of_model
from qlib_shadow_runner.catalog.tables import write_table

if TYPE_CHECKING:
    from pathlib import Path

PROMISED = {"promised_ic": 0.06, "promised_icir": 0.6, "promised_days": 750}


@pytest.fixture
def volume(tmp_path: Path) -> SmallVolume:
    """Return a volume with two runs of one model, one of another, and one of another namespace."""
    found = SmallVolume(tmp_path)
    used: dict[str, Any] = {"model_trained_by": "first"}
    found.add_run("first", **used, decay=PROMISED)
    found.add_run("second", **used, decay={"promised_ic": "?"})
    found.add_run("other", model_trained_by="other", decay=PROMISED)
    found.add_run("stranger", **used, namespace="elsewhere", decay=PROMISED)
    return found


def tell(volume: SmallVolume, mean: float, **changed: object) -> None:
    """Write a followup in which the two runs' live IC has this mean, and all else is bad."""
    noise = np.random.default_rng(2).normal(size=120)
    standard = (noise - noise.mean()) / noise.std()
    rows: list[dict[str, Any]] = []
    for day, one in enumerate(standard):
        row = {
            **dict.fromkeys(SCHEMA.names),
            "run_id": ("first", "second")[day % 2],
            "date": date(2026, 1, 1) + timedelta(day),
            "ic": mean + 0.1 * one,
            "live": True,
            "horizon": 1,
            **changed,
        }
        rows += [
            row,
            *(row | bad | {"ic": -0.9} for bad in BAD),
            row | {"ic": None, "date": date(2027, 1, 1)},
        ]
    volume.catalog.mkdir(exist_ok=True)
    write_table(volume.catalog / FILE, rows[::-1], SCHEMA)


BAD: tuple[dict[str, Any], ...] = (
    {"live": False},
    {"horizon": 5},
    {"run_id": "other", "model_trained_by": "other"},
    {"run_id": "stranger", "namespace": "elsewhere"},
    {"run_id": "removed", "model_trained_by": None},
)


def decay(volume: SmallVolume, horizon: int = 1) -> dict[str, Any]:
    """Return the decay for a third run."""
    folder = volume.catalog.parent / "third"
    asked = {"source": "second", "trained_by": "first", "namespace": "local"}
    return decay_of_model(volume.volume, folder, **asked, horizon=horizon)


@pytest.mark.parametrize(("mean", "state"), [(0.06, "holds"), (0.03, "decayed")])
def test_only_the_models_own_live_days_count(volume: SmallVolume, mean: float, state: str):
    """In the order of their days, held against what the first run promised."""
    tell(volume, mean)
    found = decay(volume)
    assert (found["state"], found["days"]) == (state, 120)
    assert found["live_ic"] == pytest.approx(mean)
    assert {name: found[name] for name in PROMISED} == PROMISED


def test_outcomes_of_runs_that_were_removed_count(volume: SmallVolume):
    """Or a model that has decayed would hold again once its first runs are pruned."""
    tell(volume, 0.03, run_id="pruned", model_trained_by="first", namespace="local")
    assert (decay(volume)["state"], decay(volume)["days"]) == ("decayed", 120)
    tell(volume, 0.03, run_id="pruned", model_trained_by="first", namespace="elsewhere")
    assert decay(volume)["state"] == "unknown"


def test_a_day_of_several_runs_counts_once(volume: SmallVolume):
    """With their mean."""
    tell(volume, 0.06, date=date(2026, 1, 1))
    found = decay(volume)
    assert (found["state"], found["days"]) == ("unknown", 1)
    assert found["live_ic"] == pytest.approx(0.06)


def test_without_a_followup_nothing_is_known(volume: SmallVolume):
    """Neither that the model holds."""
    found = decay(volume)
    assert (found["state"], found["why"]) == ("unknown", "0 of 20 days are judged")


def test_a_damaged_followup_is_named_and_the_promise_is_passed_on(volume: SmallVolume):
    """So that a later night knows it."""
    volume.catalog.mkdir()
    (volume.catalog / FILE).write_text("PAR1")
    found = decay(volume)
    assert found["state"] == "unknown"
    assert found["why"] == f"{volume.catalog / FILE} is not a complete Parquet file"
    assert {name: found[name] for name in PROMISED} == PROMISED

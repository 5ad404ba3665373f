"""The workflow that qrun is given is complete, and its hash depends on what changes the result."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import yaml

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.workflow import Engine
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow import templates

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.runner.workflow.workflow_builders import PrepareIt, RenderIt


EXCHANGE = {
    "freq": "day",
    "codes": ["AAA", "BBB"],
    "deal_price": "close",
    "open_cost": 0.0005,
    "close_cost": 0.0015,
    "min_cost": 5.0,
    "impact_cost": 0.0,
    "limit_threshold": None,
    "trade_unit": 1,
}


@pytest.mark.parametrize("engine", Engine)
def test_rendered_workflow_has_every_part(render_it: RenderIt, engine: Engine):
    """Its parts are where Qlib looks for them, with either engine."""
    workflow = render_it({"workflow": {"engine": engine}})
    document = yaml.safe_load(workflow.text)
    assert document["qlib_init"] == {"provider_uri": "/data/x", "region": "us", "kernels": 1}
    model = document["task"]["model"]["kwargs"]
    assert (model["deterministic"], model["seed"], model["num_threads"]) == (True, 7, 2)
    backtest = document["task"]["record"][2]["kwargs"]["config"]["backtest"]
    days = {name: backtest[name] for name in ("start_time", "end_time")}
    told = days if engine is Engine.FAST else {}  # Qlib tells its own exchange the days
    assert workflow.exchange == {**EXCHANGE, **told}
    assert document["task"]["record"][2]["kwargs"]["config"]["strategy"]["kwargs"]["signal"] == "<PRED>"


def test_values_of_the_spec_are_in_the_workflow(render_it: RenderIt):
    """Parameters reach the model, the strategy and the exchange."""
    asked = {
        "model": {"num_leaves": 12},
        "strategy": {"topk": 2, "nDrop": 1},
        "exchange": {"openCost": 0.001, "dealPrice": "open", "impactCost": 0.1},
        "seed": 3,
    }
    workflow = render_it({"workflow": asked})
    task, exchange = yaml.safe_load(workflow.text)["task"], workflow.exchange
    config = task["record"][2]["kwargs"]["config"]
    assert (task["model"]["kwargs"]["num_leaves"], task["model"]["kwargs"]["seed"]) == (12, 3)
    assert (config["strategy"]["kwargs"]["topk"], config["strategy"]["kwargs"]["n_drop"]) == (2, 1)
    assert (exchange["open_cost"], exchange["deal_price"], exchange["impact_cost"]) == (0.001, "open", 0.1)


def test_other_region_keeps_qlibs_rules(render_it: RenderIt):
    """Only the US have no price limits and no board lots."""
    workflow = render_it({"dataset": {"region": "cn"}})
    assert {"limit_threshold", "trade_unit"}.isdisjoint(workflow.exchange)


def test_unknown_template_is_refused_with_the_nearest_name(render_it: RenderIt):
    """There is one built-in template."""
    with pytest.raises(StageError, match='did you mean "lightgbm-alpha158"') as caught:
        render_it({"workflow": {"template": "lightgbm-alpha360"}})
    assert caught.value.reason is Reason.TEMPLATE_NOT_FOUND


def test_template_is_found_in_a_wheel_and_in_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The first folder that has it is used."""
    (tmp_path / templates.TEMPLATES["lightgbm-alpha158"]).write_text("here")
    monkeypatch.setattr(templates, "HOMES", (tmp_path / "nowhere", tmp_path))
    assert templates.read_template("lightgbm-alpha158") == "here"


def test_config_hash_does_not_depend_on_the_machine(prepare_it: PrepareIt):
    """Another path and other threads, as on a laptop and in a cluster."""
    here, there = prepare_it(), prepare_it(provider_uri="/home/me/data/x", threads=64)
    assert here.config_hash == there.config_hash
    assert here.workflow.sha256 != there.workflow.sha256


def test_config_hash_does_not_depend_on_the_run_id(prepare_it: PrepareIt):
    """Two runs of one configuration have one hash."""
    assert prepare_it({"runId": "a"}).config_hash == prepare_it({"runId": "b"}).config_hash


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"workflow": {"seed": 8}}},
        {"spec": {"workflow": {"model": {"num_leaves": 63}}}},
        {"spec": {"workflow": {"exchange": {"minCost": 4}}}},
        {"fingerprint": "e" * 64},
    ],
    ids=["seed", "model", "costs", "data"],
)
def test_config_hash_depends_on_what_changes_the_result(prepare_it: PrepareIt, change: dict[str, object]):
    """Seed, parameters and data."""
    assert prepare_it(**change).config_hash != prepare_it().config_hash


def test_penalties_scale_with_the_number_of_rows(render_it: RenderIt):
    """They are published for a large universe; unscaled, a small one would get trees without splits."""
    model = yaml.safe_load(render_it().text)["task"]["model"]["kwargs"]
    assert model["lambda_l1"] < 1


def test_spec_is_frozen():
    """No step can change the spec."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_spec({}).run_id = "x"  # type: ignore[misc]

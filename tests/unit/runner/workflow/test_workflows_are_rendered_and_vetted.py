"""What qrun is given: complete, held to the question, and hashed by it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import yaml

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec import Engine
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow import templates
from qlib_shadow_runner.workflow.parts import exchange_arguments_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.runner.workflow.workflow_builders import RenderIt


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
def test_the_rendered_workflow_is_whole(render_it: RenderIt, engine: Engine):
    """Its parts are where Qlib looks for them, whoever computes them."""
    document = yaml.safe_load(render_it({"workflow": {"engine": engine}}).text)
    assert document["qlib_init"] == {"provider_uri": "/data/x", "region": "us", "kernels": 1}
    model = document["task"]["model"]["kwargs"]
    assert (model["deterministic"], model["seed"], model["num_threads"]) == (True, 7, 2)
    backtest = document["task"]["record"][2]["kwargs"]["config"]["backtest"]
    days = {name: backtest[name] for name in ("start_time", "end_time")}
    told = days if engine is Engine.FAST else {}  # Qlib tells its own exchange the days
    assert exchange_arguments_of(document) == {**EXCHANGE, **told}
    assert document["task"]["record"][2]["kwargs"]["config"]["strategy"]["kwargs"]["signal"] == "<PRED>"


def test_what_the_spec_says_is_in_the_workflow(render_it: RenderIt):
    """Parameters reach the model, the strategy and the exchange."""
    asked = {
        "model": {"num_leaves": 12},
        "strategy": {"topk": 2, "nDrop": 1},
        "exchange": {"openCost": 0.001, "dealPrice": "open", "impactCost": 0.1},
        "seed": 3,
    }
    document = yaml.safe_load(render_it({"workflow": asked}).text)
    task, exchange = document["task"], exchange_arguments_of(document)
    config = task["record"][2]["kwargs"]["config"]
    assert (task["model"]["kwargs"]["num_leaves"], task["model"]["kwargs"]["seed"]) == (12, 3)
    assert (config["strategy"]["kwargs"]["topk"], config["strategy"]["kwargs"]["n_drop"]) == (2, 1)
    assert (exchange["open_cost"], exchange["deal_price"], exchange["impact_cost"]) == (0.001, "open", 0.1)


def test_another_region_keeps_qlibs_rules_for_it(render_it: RenderIt):
    """Price limits and board lots are New York's absence, not the world's."""
    workflow = yaml.safe_load(render_it({"dataset": {"region": "cn"}}).text)
    assert {"limit_threshold", "trade_unit"}.isdisjoint(exchange_arguments_of(workflow))


def test_an_unknown_template_is_refused_with_the_nearest(render_it: RenderIt):
    """There is one so far."""
    with pytest.raises(StageError, match='did you mean "lightgbm-alpha158"') as caught:
        render_it({"workflow": {"template": "lightgbm-alpha360"}})
    assert caught.value.reason is Reason.TEMPLATE_NOT_FOUND


def test_a_template_is_found_in_a_wheel_and_in_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The first home that has it wins."""
    (tmp_path / templates.TEMPLATES["lightgbm-alpha158"]).write_text("here")
    monkeypatch.setattr(templates, "HOMES", (tmp_path / "nowhere", tmp_path))
    assert templates.read_template("lightgbm-alpha158") == "here"


def test_the_hash_does_not_know_the_machine(render_it: RenderIt):
    """The same question on a laptop and in a cluster: other paths, other threads."""
    here, there = render_it(), render_it(provider_uri="/home/me/data/x", threads=64)
    assert here.config_hash == there.config_hash
    assert here.sha256 != there.sha256


def test_the_hash_does_not_know_the_run_id(render_it: RenderIt):
    """Two runs of one question are comparable."""
    assert render_it({"runId": "a"}).config_hash == render_it({"runId": "b"}).config_hash


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
def test_the_hash_knows_what_changes_the_answer(render_it: RenderIt, change: dict[str, object]):
    """Seed, parameters and data."""
    assert render_it(**change).config_hash != render_it().config_hash


def test_the_penalties_follow_the_number_of_rows(render_it: RenderIt):
    """Published for a large universe, they would leave stumps on a small one."""
    model = yaml.safe_load(render_it().text)["task"]["model"]["kwargs"]
    assert model["lambda_l1"] < 1


def test_a_spec_is_frozen():
    """Nobody changes the question on the way."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_spec({}).run_id = "x"  # type: ignore[misc]

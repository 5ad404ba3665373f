"""One read of NetworkPolicies serves a namespace for a minute; a missing policy is looked for each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.operator.builders import NOW

from qlib_shadow_operator.loop.cluster_cache import ClusterCache
from qlib_shadow_operator.loop.query_runner import QueryRunner
from qlib_shadow_operator.runs.model import Run
from qlib_shadow_operator.runs.names import child_labels
from qlib_shadow_operator.runs.queries import FindEgressPolicy
from qlib_shadow_runner.contract import Stage

POLICY = Path(__file__).parents[3] / "manifests/network-policy/qrun.yaml"


@dataclass
class FakePolicies:
    """An API server that knows policies by namespace, and counts."""

    policies: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def list_network_policies(self, namespace: str) -> list[dict[str, Any]]:
        """List the NetworkPolicies of a namespace."""
        self.asked.append(namespace)
        return self.policies.get(namespace, [])


@dataclass
class World:
    """Runs that ask one inquirer."""

    api: FakePolicies = field(default_factory=FakePolicies)

    def __post_init__(self) -> None:
        self.inquirer = QueryRunner(self.api, ClusterCache(), timedelta(seconds=20))  # type: ignore[arg-type]

    def is_closed(self, name: str, namespace: str = "research", seconds: float = 0) -> bool | None:
        """Ask for a run, so many seconds later."""
        run = Run(name=name, namespace=namespace, uid=f"uid-{name}", resource_version="1", generation=1)
        query = FindEgressPolicy(frozenset(child_labels(run.name, run.uid, Stage.QRUN).items()))
        answer: bool | None = self.inquirer.ask(run, query, NOW + timedelta(seconds=seconds))
        return answer


@pytest.fixture
def world() -> World:
    """Begin without policies."""
    return World()


def test_runs_that_start_together_share_an_answer(world: World):
    """A hundred at once, one read."""
    world.api.policies["research"] = [yaml.safe_load(POLICY.read_text())]
    assert all(world.is_closed(f"run-{number}", seconds=number / 2) for number in range(100))
    assert world.api.asked == ["research"]


def test_an_answer_is_old_after_a_minute(world: World):
    """And then it is asked for again, and believed."""
    world.api.policies["research"] = [yaml.safe_load(POLICY.read_text())]
    assert world.is_closed("one")
    del world.api.policies["research"]
    assert world.is_closed("two", seconds=60) is False


def test_old_answers_are_not_kept(world: World):
    """Namespaces come and go."""
    for number in range(50):
        world.is_closed("one", namespace=f"team-{number}", seconds=60 * number)
    assert world.inquirer._policies.keys() == {"team-49"}


def test_a_missing_policy_is_seen_as_soon_as_it_is_applied(world: World):
    """Whoever applies it and starts the run again need not wait."""
    assert world.is_closed("one") is False
    world.api.policies["research"] = [yaml.safe_load(POLICY.read_text())]
    assert world.is_closed("two", seconds=1) is True


def test_each_namespace_has_its_own_policies(world: World):
    """What closes one leaves the other open."""
    world.api.policies["research"] = [yaml.safe_load(POLICY.read_text())]
    assert world.is_closed("one") is True
    assert world.is_closed("one", namespace="elsewhere") is False

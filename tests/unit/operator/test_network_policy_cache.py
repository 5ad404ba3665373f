"""A NetworkPolicy that was found is cached for a minute by namespace; a missing one is not."""

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
    """An API server that has policies by namespace, and counts the reads."""

    policies: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def list_network_policies(self, namespace: str) -> list[dict[str, Any]]:
        """Return the NetworkPolicies of a namespace."""
        self.asked.append(namespace)
        return self.policies.get(namespace, [])


@dataclass
class World:
    """Runs that share one query runner."""

    api: FakePolicies = field(default_factory=FakePolicies)

    def __post_init__(self) -> None:
        self.inquirer = QueryRunner(self.api, ClusterCache(), timedelta(seconds=20))  # type: ignore[arg-type]

    def is_closed(self, name: str, namespace: str = "research", seconds: float = 0) -> bool | None:
        """Run the query of a run, this many seconds after NOW."""
        run = Run(name=name, namespace=namespace, uid=f"uid-{name}", resource_version="1", generation=1)
        query = FindEgressPolicy(frozenset(child_labels(run.name, run.uid, Stage.QRUN).items()))
        answer: bool | None = self.inquirer.ask(run, query, NOW + timedelta(seconds=seconds))
        return answer


@pytest.fixture
def world() -> World:
    """Return a world without policies."""
    return World()


def test_runs_that_start_together_share_one_read(world: World):
    """A hundred runs, one read."""
    world.api.policies["research"] = [yaml.safe_load(POLICY.read_text())]
    assert all(world.is_closed(f"run-{number}", seconds=number / 2) for number in range(100))
    assert world.api.asked == ["research"]


def test_answer_expires_after_a_minute(world: World):
    """Then it is read again."""
    world.api.policies["research"] = [yaml.safe_load(POLICY.read_text())]
    assert world.is_closed("one")
    del world.api.policies["research"]
    assert world.is_closed("two", seconds=60) is False


def test_expired_answers_are_dropped(world: World):
    """Namespaces come and go."""
    for number in range(50):
        world.is_closed("one", namespace=f"team-{number}", seconds=60 * number)
    assert world.inquirer._policies.keys() == {"team-49"}


def test_new_policy_is_found_at_once(world: World):
    """A user who applies it and starts the run again need not wait."""
    assert world.is_closed("one") is False
    world.api.policies["research"] = [yaml.safe_load(POLICY.read_text())]
    assert world.is_closed("two", seconds=1) is True


def test_policies_are_kept_by_namespace(world: World):
    """A policy of one namespace does not affect another."""
    world.api.policies["research"] = [yaml.safe_load(POLICY.read_text())]
    assert world.is_closed("one") is True
    assert world.is_closed("one", namespace="elsewhere") is False

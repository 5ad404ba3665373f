"""Operators are killed at random instants, or run twice: every run completes, with one Job per stage."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.conftest import Hire
    from tests.chaos.scenario import Theatre

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]

KILLS = int(os.environ.get("QLIB_SHADOW_CHAOS_KILLS", "4"))
RUNS = int(os.environ.get("QLIB_SHADOW_CHAOS_RUNS", "5"))


def test_runs_complete_although_the_operator_is_killed_repeatedly(
    theatre: Theatre, hire: Hire, record_property: Callable[[str, object], None]
):
    """`kill -9` at random instants while runs are applied: no run is lost, and none runs twice."""
    seed = random.randrange(2**32)
    record_property("seed", seed)
    chance = random.Random(seed)
    names = [f"run-{number}" for number in range(RUNS)]
    operator = hire()
    for kill in range(KILLS):
        begin, end = kill * RUNS // KILLS, (kill + 1) * RUNS // KILLS
        if begin < end:
            theatre.apply(*names[begin:end])
        operator.die(chance)
    theatre.wait_for_all()
    theatre.check(*names)
    assert operator.starts == KILLS + 1


def test_two_operators_at_once_change_nothing(theatre: Theatre, hire: Hire):
    """Two operators by mistake: one Job per stage, and no repeated Event."""
    both = hire(), hire()
    names = [f"run-{number}" for number in range(RUNS)]
    theatre.apply("first")
    wait_for(lambda: theatre.has_begun("first"), PATIENCE, "the first look")
    theatre.apply(*names)
    theatre.wait_for_all()
    theatre.check("first", *names)
    assert all(operator.lives() for operator in both)

"""What a stage waits for is true, and how long it may wait is stored on objects, never in a process."""

from __future__ import annotations

import re
from datetime import timedelta

from tests.unit.operator.model.clock import BEGINNING
from tests.unit.operator.model.simulation import World

from qlib_shadow_operator.runs.defaults import Defaults

SHORT = Defaults(start_timeout=timedelta(seconds=60))


def stage_of(world: World) -> dict[str, str]:
    """Return the status of the download stage."""
    assert world.run is not None
    found: dict[str, str] = world.run["status"]["stages"][0]
    return found


def passes(world: World, seconds: int, step: int = 5) -> None:
    """Let time pass in steps, in which every actor does what is due."""
    for _ in range(0, seconds, step):
        world.clock.now += step
        while world.round():
            pass


def test_pods_that_are_removed_again_and_again_wait_for_the_job_controller_not_for_a_quota():
    """It waits ten minutes in the end; a start timeout of one minute counts from then."""
    world = World(fate="is preempted", defaults=SHORT)
    world.user_applies()
    told: dict[int, str] = {}
    while world.controller.pods_made < 9:
        passes(world, 5)
        stage = stage_of(world)
        assert stage["state"] != "Failed", stage
        assert "quota" not in stage.get("message", "")
        if stage.get("reason") == "BackOff":
            told[world.controller.pods_made] = stage["message"]
            assert f"attempt {world.controller.pods_made + 1} is expected" in stage["message"]
            [uid] = world.controller.wake_at
            at = re.search("about ([0-9:]+) UTC", stage["message"])
            assert at
            due = BEGINNING + timedelta(seconds=world.controller.wake_at[uid])
            early = due - due.replace(
                **dict(zip(("hour", "minute", "second"), map(int, at[1].split(":")), strict=True))
            )
            assert abs(early) <= timedelta(seconds=10), (early, stage["message"])
    assert len(told) >= 5, "short waits are not told"
    world.fate = "exits with 0"
    world.settles()
    world.check_settled()

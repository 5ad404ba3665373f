"""A watch that starts again with a list has missed events; one that continues where it ended has not."""

from __future__ import annotations

import pytest

from qlib_shadow_operator.kube.traffic import Call
from qlib_shadow_operator.loop.watch_gaps import Gaps

LIST, WATCH = Call("list", "jobs", "research"), Call("watch", "jobs", "research")
STORIES: dict[str, tuple[list[tuple[Call, str]], bool]] = {
    "a watch that goes on has missed nothing": ([(WATCH, "200"), (WATCH, "200")], False),
    "a watch after a list may have": ([(LIST, "200"), (WATCH, "200")], True),
    "a list of several pages is one list": ([(LIST, "200"), (LIST, "200"), (WATCH, "200")], True),
    "until the watch is open again, it may miss more": ([(LIST, "200"), (WATCH, "503")], False),
    "a list that failed is none": ([(LIST, "500"), (WATCH, "200")], False),
    "another namespace's list is another's": (
        [(Call("list", "jobs", "other"), "200"), (WATCH, "200")],
        False,
    ),
}


@pytest.mark.parametrize(("story", "found"), STORIES.values(), ids=STORIES)
def test_watch_gap_is_detected(story: list[tuple[Call, str]], *, found: bool):
    """Detected from the requests: an empty list delivers no events."""
    gaps = Gaps()
    for call, code in story:
        gaps.answered(call, code)
    assert gaps.found.is_set() is found


def test_watch_gap_is_detected_once():
    """Later watches only continue."""
    gaps = Gaps()
    for call in (LIST, WATCH):
        gaps.answered(call, "200")
    gaps.found.clear()
    gaps.answered(WATCH, "200")
    assert not gaps.found.is_set()

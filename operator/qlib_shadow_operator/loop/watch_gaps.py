"""Notices when a watch could not go on where it ended, and began anew with a list.

What was deleted in between it will never tell. So the cache is then held against full lists, as at the start.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from qlib_shadow_operator.loop.probes import OK

if TYPE_CHECKING:
    from qlib_shadow_operator.kube.traffic import Call


class Gaps:
    """Is told of every request of the watches; belongs to their event loop."""

    def __init__(self) -> None:
        self.found = asyncio.Event()
        self._listed: set[tuple[str, str | None]] = set()

    def answered(self, call: Call, code: str) -> None:
        """Note a list, and the watch that follows it: from then on, deletions are told again."""
        place = (call.resource, call.namespace)
        if code != OK:
            return
        if call.verb == "list":
            self._listed.add(place)
        elif call.verb == "watch" and place in self._listed:
            self._listed.remove(place)
            self.found.set()

"""Detects a watch that could not continue where it ended and started again with a list.

Deletions in between are never delivered, so the cache is then compared with full lists, as at the start.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from qlib_shadow_operator.loop.probes import OK

if TYPE_CHECKING:
    from qlib_shadow_operator.kube.traffic import Call


class Gaps:
    """Observes every request of the watches; belongs to their event loop."""

    def __init__(self) -> None:
        self.found = asyncio.Event()
        self._listed: set[tuple[str, str | None]] = set()

    def answered(self, call: Call, code: str) -> None:
        """Record a list and the watch that follows it: from then on, deletions are delivered again."""
        place = (call.resource, call.namespace)
        if code != OK:
            return
        if call.verb == "list":
            self._listed.add(place)
        elif call.verb == "watch" and place in self._listed:
            self._listed.remove(place)
            self.found.set()

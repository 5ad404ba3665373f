"""What kopf would remember of objects, on them and in memory, were it asked to handle changes: nothing, here.

Its watching handlers need none of it, but kopf copies and compares every object for it, a sixth of all work;
what has no store can never be written on somebody's Job; and a record of each object would take as much
memory as all that the operator itself knows of a finished run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kopf
from kopf._core.reactor.inventory import ResourceMemories

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kopf._core.reactor.inventory import ResourceMemory


class NoDiffs(kopf.DiffBaseStorage):
    """Finds no difference between any two versions."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        """Give the essence of an object: none."""
        del body, extra_fields
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """Give the essence that was handled last: none."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""


class NoProgress(kopf.ProgressStorage):
    """Knows of no handler that was begun."""

    def fetch(self, **_: Any) -> None:
        """Give what a handler has reached: nothing."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""

    def purge(self, **_: Any) -> None:
        """Remove nothing."""

    def touch(self, **_: Any) -> None:
        """Mark nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Take out nothing."""
        return essence


class NoMemories(ResourceMemories):
    """Gives each event a record of its own, as kopf itself does for objects that are only about to exist.

    kopf takes another inventory as an argument, but does not export the class.
    """

    async def recall(self, raw_body: kopf.RawBody, **how: Any) -> ResourceMemory:
        """Make a record, and do not keep it."""
        return await super().recall(raw_body, **{**how, "ephemeral": True})

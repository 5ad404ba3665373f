"""Stores for kopf that keep nothing, neither on objects nor in memory.

Handlers of kind `on.event` need no stored state, but kopf would copy and compare every object for it, a sixth
of all work. Without a store, nothing can ever be written to another owner's Job. A record of each object
would take as much memory as all that the operator itself keeps of a finished run.
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
        """Return an empty essence of an object."""
        del body, extra_fields
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """Return no last-handled essence."""

    def store(self, **_: Any) -> None:
        """Store nothing."""


class NoProgress(kopf.ProgressStorage):
    """Records no handler progress."""

    def fetch(self, **_: Any) -> None:
        """Return no progress."""

    def store(self, **_: Any) -> None:
        """Store nothing."""

    def purge(self, **_: Any) -> None:
        """Remove nothing."""

    def touch(self, **_: Any) -> None:
        """Mark nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Return the essence unchanged."""
        return essence


class NoMemories(ResourceMemories):
    """Returns a new record for each event, as kopf does for objects that are about to exist.

    kopf accepts another inventory as an argument, but does not export the class.
    """

    async def recall(self, raw_body: kopf.RawBody, **how: Any) -> ResourceMemory:
        """Return a new record without keeping it."""
        return await super().recall(raw_body, **{**how, "ephemeral": True})

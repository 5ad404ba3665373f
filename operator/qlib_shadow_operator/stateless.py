"""What kopf would remember on the objects themselves, were it asked to handle changes: nothing, here.

Its watching handlers need none of it, but kopf copies and compares every object for it, a sixth of all work;
and what has no store can never be written on somebody's Job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kopf

if TYPE_CHECKING:
    from collections.abc import Iterable


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

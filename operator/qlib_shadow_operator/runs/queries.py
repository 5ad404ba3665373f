"""What the caches do not tell, and a decision rests on: asked of the API server, one read each, and rarely.

A question is a value; whoever decides names it, the reconciler asks it, and the decision is made once more.
What could not be found out is None, and the decision is made without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from qlib_shadow_runner.contract import Stage

NO_WARNING_LIFETIME: Final = 6
"""How long silence is good for, in times of `query_after`."""
WARNING_LIFETIME: Final = 15
"""How long an answer is good for: the API server reads a namespace's Events to find those of one object."""


@dataclass(frozen=True)
class FindStartupWarning:
    """What do Events say of a Job without a pod, or of a pod that does not start? Answered by a Warning."""

    uid: str


@dataclass(frozen=True)
class FindJob:
    """Is a Job there although the cache has none? Answered by True or False."""

    name: str


@dataclass(frozen=True)
class FindPods:
    """Which pods has a stage although the cache has none at work? Answered by True, and in the cache."""

    stage: Stage


@dataclass(frozen=True)
class FindEgressPolicy:
    """Does a NetworkPolicy keep the stage from the network? Answered by True or False."""

    labels: frozenset[tuple[str, str]]
    """Of the stage's pods."""


Query = FindStartupWarning | FindJob | FindPods | FindEgressPolicy


@dataclass(frozen=True)
class WarningEvent:
    """The newest Event of type Warning about an object."""

    reason: str
    message: str
    at: datetime

    def is_current(self, since: datetime) -> bool:
        """Say whether it is about what happens now, not about an earlier attempt."""
        return self.at >= since


def answer_lifetime(warning_event: WarningEvent | None, query_after: timedelta) -> timedelta:
    """Return how long an answer is good for: what was silent may soon be told, what was told lasts."""
    return query_after * (WARNING_LIFETIME if warning_event else NO_WARNING_LIFETIME)


Answers = Mapping[Query, Any]
"""A Trouble, True, False or None by question."""

"""Queries: rare reads from the API server for what a decision needs and the caches lack.

A query is a value. A check returns it, the reconciler runs it, and the decision is made again with the
answer. None of a network policy and UNREAD of a warning mean that the read failed; the decision is then made
without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from qlib_shadow_runner.contract import Stage

NO_WARNING_LIFETIME: Final = 6
"""How long the answer "no warning" is kept, in multiples of `query_after`."""
WARNING_LIFETIME: Final = 15
"""How long a warning is kept, in multiples of `query_after`; reading Events is costly."""


UNREAD: Final = "unread"
"""The answer about a warning where Events could not be read: what was known before still holds."""


@dataclass(frozen=True)
class FindStartupWarning:
    """Which Warning explains why a Job has no pod, or a pod does not start? Answered by a WarningEvent."""

    uid: str


@dataclass(frozen=True)
class FindJob:
    """Does the run have a Job of this name although the cache has none? Answered by True or False."""

    name: str


@dataclass(frozen=True)
class ReadJob:
    """How is the Job now that no watch delivers? Answered by True; the cache then has it, or has none."""

    name: str


@dataclass(frozen=True)
class FindPods:
    """Which pods does a stage have that the cache lacks? Answered by True; the cache then has them."""

    stage: Stage
    purpose: str | None = None
    """The purpose of a Job that is not the stage itself."""


@dataclass(frozen=True)
class FindEgressPolicy:
    """Does a NetworkPolicy block the stage's egress? Answered by True or False."""

    labels: frozenset[tuple[str, str]]
    """The labels of the stage's pods."""


Query = FindStartupWarning | FindJob | ReadJob | FindPods | FindEgressPolicy


@dataclass(frozen=True)
class WarningEvent:
    """The newest Event of type Warning about an object."""

    reason: str
    message: str
    at: datetime

    def is_current(self, since: datetime) -> bool:
        """Return whether it is about the current attempt, not an earlier one."""
        return self.at >= since


def answer_lifetime(warning_event: object, query_after: timedelta) -> timedelta:
    """Return how long an answer is kept: a warning lasts longer than its absence."""
    is_lasting = isinstance(warning_event, WarningEvent)
    return query_after * (WARNING_LIFETIME if is_lasting else NO_WARNING_LIFETIME)


Answers = Mapping[Query, Any]
"""A WarningEvent, True, False or None by query."""

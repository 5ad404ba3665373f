"""Waiting for a condition: the only clock that tests may use."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from testcluster.errors import TestClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
POLL_SECONDS = 0.05
PATIENCE = 240
"""Seconds for what takes moments, on a busy machine: only what hangs takes as long."""


def wait_for(predicate: Callable[[], T], timeout: float, what: str) -> T:
    """Return the predicate's first truthy answer; fail with a sentence after a timeout.

    A predicate may raise TestClusterError, which counts as "not yet" and is quoted after the timeout.
    """
    deadline = time.monotonic() + timeout
    why = ""
    while True:
        try:
            if answer := predicate():
                return answer
            why = ""
        except TestClusterError as error:
            why = f": {error}"
        if time.monotonic() > deadline:
            message = f"waited {timeout:g} s for {what}{why}"
            raise TestClusterError(message)
        time.sleep(POLL_SECONDS)

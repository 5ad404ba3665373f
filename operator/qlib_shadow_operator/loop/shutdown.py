"""Ends the process: in order at the first signal, at once at the second, after ten seconds at the latest.

Where one of kopf's tasks fails, for example the watch of a CRD that was deleted, the process ends, too: kopf
would wait for its other watches, and kill the process by a signal that process 1 of a container never gets.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.loop.probes import STOPPING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qlib_shadow_operator.loop.probes import Health
    from qlib_shadow_operator.loop.workers import Workers

logger = logging.getLogger(__name__)

STOP_DEADLINE_SECONDS: Final = 9.0
"""Seconds after the first signal. What is cut off then is repeated by the next process."""
EXIT_AT_ONCE: Final = 128 + signal.SIGTERM
EXIT_FAILED: Final = 1
CANNOT_CONTINUE: Final = "the operator cannot continue, and is starting again"


class Shutdown:
    """Sets kopf's stop flag once the passes in progress have ended."""

    def __init__(self, health: Health, workers: Workers) -> None:
        self.flag = asyncio.Event()
        self._health = health
        self._workers = workers
        self._end: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Replace kopf's signal handlers; kopf treats a second signal as an error."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask)

    def ask(self) -> None:
        """Stop in order; exit at once when called again."""
        if self._end:
            os._exit(EXIT_AT_ONCE)
        logger.info("stopping once the reconcile passes in progress have ended")
        self._begin(STOPPING, 0)
        self._end = asyncio.get_running_loop().create_task(self._stop(), name="shutdown")

    def follow(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """End the process when one of these tasks fails."""
        for task in tasks:
            task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if self._end or task.cancelled() or task.exception() is None:
            return
        logger.critical("%s: %s has failed: %s", CANNOT_CONTINUE, task.get_name(), task.exception())
        self._begin(CANNOT_CONTINUE, EXIT_FAILED)
        self._end = asyncio.get_running_loop().create_task(self._fail(), name="shutdown")

    def _begin(self, blocker: str, code: int) -> None:
        """Stop being ready, and exit after the deadline whatever happens."""
        self._health.startup_blocker = blocker
        watchdog = threading.Timer(STOP_DEADLINE_SECONDS, os._exit, (code,))
        watchdog.daemon = True
        watchdog.start()

    async def _stop(self) -> None:
        await self._workers.stop()
        self.flag.set()

    async def _fail(self) -> None:
        await self._workers.stop()
        os._exit(EXIT_FAILED)

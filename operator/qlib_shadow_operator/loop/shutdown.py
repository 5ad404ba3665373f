"""Ends the process: in order at the first signal, at once at the second, after ten seconds at the latest."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Final

from qlib_shadow_operator.loop.probes import STOPPING

if TYPE_CHECKING:
    from qlib_shadow_operator.loop.probes import Health
    from qlib_shadow_operator.loop.workers import Workers

logger = logging.getLogger(__name__)

STOP_DEADLINE_SECONDS: Final = 9.0
"""Seconds after the first signal. What is cut off then is repeated by the next process."""
EXIT_AT_ONCE: Final = 128 + signal.SIGTERM


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
        self._health.startup_blocker = STOPPING
        watchdog = threading.Timer(STOP_DEADLINE_SECONDS, os._exit, (0,))
        watchdog.daemon = True
        watchdog.start()
        self._end = asyncio.get_running_loop().create_task(self._stop(), name="shutdown")

    async def _stop(self) -> None:
        await self._workers.stop()
        self.flag.set()

"""How the process ends: asked once, in order; asked twice, at once; never later than in ten seconds."""

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
"""Seconds after the first signal. What is cut off then is found undone by whoever looks next."""
EXIT_AT_ONCE: Final = 128 + signal.SIGTERM


class Shutdown:
    """Raises kopf's flag once the looks under way have ended."""

    def __init__(self, health: Health, workers: Workers) -> None:
        self.flag = asyncio.Event()
        self._health = health
        self._workers = workers
        self._end: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Take the signals over from kopf, which takes a second one for a mistake."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask)

    def ask(self) -> None:
        """End in order; end at once when asked again."""
        if self._end:
            os._exit(EXIT_AT_ONCE)
        logger.info("stopping: the looks under way are seen to their end")
        self._health.startup_blocker = STOPPING
        watchdog = threading.Timer(STOP_DEADLINE_SECONDS, os._exit, (0,))
        watchdog.daemon = True
        watchdog.start()
        self._end = asyncio.get_running_loop().create_task(self._stop(), name="shutdown")

    async def _stop(self) -> None:
        await self._workers.stop()
        self.flag.set()

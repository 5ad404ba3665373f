"""The tasks that reconcile runs in threads, and that compare the cache with full lists from time to time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Protocol

from qlib_shadow_operator.kube.cluster import ClusterError, ConflictError
from qlib_shadow_operator.loop.cluster_cache import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from qlib_shadow_operator.loop.cluster_cache import ClusterCache, Key
    from qlib_shadow_operator.loop.workqueue import WorkQueue

logger = logging.getLogger(__name__)

STOP_TIMEOUT_SECONDS: Final = 6.0
"""Seconds that a pass in progress may take to end when the operator stops."""
WATCHED_POLL: Final = 0.05
RESYNC_RETRY_SECONDS: Final = 5.0
"""Seconds until a failed resync is tried again."""
HEARTBEAT_SECONDS: Final = 1.0
LOOP_TIMEOUT_SECONDS: Final = 60.0
"""Seconds that one round of the event loop may take: the first list of ten thousand objects is slow."""


class Lister(Protocol):
    """Lists existing objects."""

    def list_documents(self, kind: str, namespace: str | None) -> Iterable[dict[str, Any]]:
        """Return runs, jobs or pods as they are now."""


class Workers:
    """Reconciles a bounded number of runs at a time."""

    def __init__(
        self,
        queue: WorkQueue[Key],
        look: Callable[[Key], float | None],
        count: int,
        *,
        reconciled: Callable[[str, float], None] = lambda _outcome, _seconds: None,
        about: Callable[[Key], Mapping[str, str]] = lambda key: {"run": f"{key.namespace}/{key.name}"},
    ) -> None:
        self._queue = queue
        self._look = look
        self._count = count
        self._looked = reconciled
        self._about = about
        self._threads = ThreadPoolExecutor(max_workers=count, thread_name_prefix="look")
        self._tasks: list[asyncio.Task[None]] = []
        self._last_heartbeat: float | None = None
        self._may_start = asyncio.Event()
        self._stopping = False

    def start(self, *more: asyncio.Task[None]) -> None:
        """Start the tasks, together with other tasks that end with them; passes wait for `begin`."""
        self._last_heartbeat = time.monotonic()
        self._tasks = [asyncio.create_task(self._work(), name=f"worker {n}") for n in range(self._count)]
        self._tasks.append(asyncio.create_task(self._heartbeat(), name="beat"))
        self._tasks.extend(more)

    def begin(self) -> None:
        """Start reconciling, once the cache is complete."""
        self._may_start.set()

    async def stop(self) -> None:
        """Let the passes in progress end, and start no more."""
        self._stopping = True
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def loop_problem(self) -> str | None:
        """Return, to another thread, what is wrong with the tasks, if anything."""
        if self._last_heartbeat is None or self._stopping:
            return None
        dead = [task.get_name() for task in self._tasks if task.done()]
        if dead:
            return f"these tasks have ended: {', '.join(dead)}"
        age = time.monotonic() - self._last_heartbeat
        return f"the event loop has hung for {age:.0f} s" if age > LOOP_TIMEOUT_SECONDS else None

    async def _heartbeat(self) -> None:
        while True:
            self._last_heartbeat = time.monotonic()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _work(self) -> None:
        await self._may_start.wait()
        while True:
            key = await self._queue.get()
            try:
                await self.reconcile_key(key)
            finally:
                self._queue.done(key)

    async def reconcile_key(self, key: Key) -> None:
        """Reconcile once; after any error, schedule a retry."""
        begun = time.monotonic()
        look = asyncio.get_running_loop().run_in_executor(self._threads, self._look, key)
        try:
            again = await asyncio.shield(look)
        except asyncio.CancelledError:
            # Stopping: a thread cannot be interrupted, so its last pass runs to its end.
            await asyncio.gather(look, return_exceptions=True)
            raise
        except Exception as error:  # noqa: BLE001 - also our own defects: the others' runs go on
            outcome = self._retry_later(key, error)
        else:
            outcome = "done"
            self._queue.reset_failures(key)
            if again is not None:
                self._queue.add_after(key, again)
        self._looked(outcome, time.monotonic() - begun)

    def _retry_later(self, key: Key, error: Exception) -> str:
        delay = self._queue.retry(key)
        if isinstance(error, ConflictError):
            # The run has changed; its event is on its way, and this retry is for the case that it is not.
            logger.debug("conflict: %s", error, extra=self._about(key))
            return "conflict"
        if isinstance(error, ClusterError):
            logger.warning("%s; next try in %.1f s", error, delay, extra=self._about(key))
            return "failed"
        logger.error("defect; next try in %.1f s", delay, extra=self._about(key), exc_info=error)
        return "defect"


async def resync(
    cache: ClusterCache,
    queue: WorkQueue[Key],
    lister: Lister,
    namespaces: Sequence[str | None],
    *,
    period: float,
    watched: Callable[[], bool],
    gap: asyncio.Event,
    compared: Callable[[], None],
) -> None:
    """Correct what the watches missed, then enqueue every run, for ever.

    The first time as soon as all watches are open, because later deletions are delivered. Then after each gap
    in a watch, and periodically in any case.
    """
    while not watched():  # noqa: ASYNC110 - threads change the answer, too
        await asyncio.sleep(WATCHED_POLL)
    while True:
        gap.clear()
        try:
            await asyncio.to_thread(compare, cache, lister, namespaces)
        except ClusterError as error:
            logger.warning("the resync failed: %s", error)
            await asyncio.sleep(min(period, RESYNC_RETRY_SECONDS))
            continue
        for key in cache.keys():  # noqa: SIM118 - not a mapping
            queue.add(key)
        compared()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(period):
                await gap.wait()


async def poll_api_server(ask: Callable[[], object], period: float) -> None:
    """Contact the API server periodically, independently of the watches, which may receive nothing."""
    while True:
        try:
            await asyncio.to_thread(ask)
        except ClusterError as error:
            logger.debug("no answer: %s", error)
        await asyncio.sleep(period)


def compare(cache: ClusterCache, lister: Lister, namespaces: Sequence[str | None]) -> None:
    """Compare the cache with full lists. It blocks, so it runs in a thread."""
    for kind in KINDS:
        before = cache.snapshot(kind)
        found = (lister.list_documents(kind, namespace) for namespace in namespaces)
        cache.correct(kind, before, chain.from_iterable(found))

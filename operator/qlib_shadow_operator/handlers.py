"""What kopf calls. A handler only remembers what it is told and asks for a look; the looking is elsewhere.

No finalizer, no annotation, no status of kopf's own: `on.event` and `index` handlers write nothing.
The index handlers are there because kopf runs them before, and holds all other handlers until, every kind's
first list is in: nothing is decided while half of the world is still unknown.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Any, Final

import kopf

from qlib_shadow_operator.cache import Cache, Key
from qlib_shadow_operator.core.names import CHILD_SELECTOR, GROUP, PLURAL, VERSION
from qlib_shadow_operator.kube.connection import (
    CONNECT_SECONDS,
    LIST_CHUNK,
    READ_SECONDS,
    WATCH_BACKOFFS,
    WATCH_SECONDS,
    WATCH_SILENCE_LIMIT,
)
from qlib_shadow_operator.reconcile import Reconciler
from qlib_shadow_operator.workers import Workers, resync
from qlib_shadow_operator.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_operator.kube.cluster import Cluster
    from qlib_shadow_operator.settings import Settings

RESOURCES: Final = {
    "runs": (GROUP, VERSION, PLURAL),
    "jobs": ("batch", "v1", "jobs"),
    "pods": ("", "v1", "pods"),
}


def register(registry: kopf.OperatorRegistry, settings: Settings, cluster: Cluster) -> None:
    """Build the parts and tie them to kopf's registry."""
    cache = Cache()
    queue: WorkQueue[Key] = WorkQueue(_call_later, random.random, time.monotonic)
    reconciler = Reconciler(cache, cluster, settings.defaults)
    workers = Workers(queue, reconciler.reconcile, settings.workers)

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        again = resync(cache, queue, cluster, settings.namespaces or (None,), settings.resync_seconds)
        workers.start(asyncio.create_task(again, name="resync"))

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        await workers.stop()

    @kopf.on.probe(registry=registry, id="workers")
    async def probe(**_: Any) -> str:
        illness = workers.illness()
        if illness:
            raise kopf.PermanentError(illness)
        return "working"

    @kopf.on.event(*RESOURCES["runs"], registry=registry, id="forget")
    async def forget(type: str | None, uid: str, **_: Any) -> None:  # noqa: A002 - kopf's name
        if type == "DELETED":
            reconciler.forget(uid)

    for kind, resource in RESOURCES.items():
        _watch(registry, kind, resource, cache, queue)


def _watch(
    registry: kopf.OperatorRegistry,
    kind: str,
    resource: tuple[str, str, str],
    cache: Cache,
    queue: WorkQueue[Key],
) -> None:
    @kopf.index(*resource, registry=registry, id=f"index-{kind}")
    async def remember(body: kopf.Body, **_: Any) -> None:
        cache.put(kind, body)

    @kopf.on.event(*resource, registry=registry, id=f"event-{kind}")
    async def notice(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        key = cache.drop(kind, body) if type == "DELETED" else cache.put(kind, body)
        if key is not None:
            queue.add(key)


def _call_later(delay: float, ring: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(delay, ring)


def kopf_settings() -> kopf.OperatorSettings:
    """Configure kopf as a source of events and nothing else."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.scanning.disabled = True
    found.peering.standalone = True
    found.process.ultimate_exiting_timeout = 25
    found.networking.request_timeout = READ_SECONDS
    found.networking.connect_timeout = CONNECT_SECONDS
    found.networking.error_backoffs = WATCH_BACKOFFS
    found.watching.chunk_size = LIST_CHUNK
    found.watching.server_timeout = WATCH_SECONDS
    found.watching.inactivity_timeout = WATCH_SILENCE_LIMIT
    for kind in ("jobs", "pods"):
        found.watching.label_selectors[RESOURCES[kind]] = CHILD_SELECTOR
    for chatty in ("kopf", "aiohttp.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return found

"""What kopf calls. A handler only remembers what it is told and asks for a look; the looking is elsewhere.

No finalizer, no annotation, no status of kopf's own: `on.event` and `index` handlers write nothing.
The index handlers are there because kopf runs them before, and holds all other handlers until, every kind's
first list is in: nothing is decided while half of the world is still unknown.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import kopf

from qlib_shadow_operator.cache import Cache, Key
from qlib_shadow_operator.core.names import CHILD_SELECTOR, GROUP, PLURAL, VERSION
from qlib_shadow_operator.reconcile import Reconciler
from qlib_shadow_operator.workers import Workers, resync
from qlib_shadow_operator.workqueue import WorkQueue

if TYPE_CHECKING:
    from qlib_shadow_operator.kube.cluster import Cluster
    from qlib_shadow_operator.settings import Settings

RESOURCES: Final = {
    "runs": (GROUP, VERSION, PLURAL),
    "jobs": ("batch", "v1", "jobs"),
    "pods": ("", "v1", "pods"),
}


@dataclass
class Operator:
    """The parts that live as long as the event loop."""

    cache: Cache
    queue: WorkQueue[Key]
    workers: Workers


def register(registry: kopf.OperatorRegistry, settings: Settings, cluster: Cluster) -> None:
    """Tie the parts to kopf's registry."""
    cache = Cache()
    reconciler = Reconciler(cache, cluster, settings.defaults)
    parts: list[Operator] = []

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[Key] = WorkQueue(loop.call_later, random.random, loop.time)
        workers = Workers(queue, reconciler.reconcile, settings.workers)
        again = resync(cache, queue, cluster, settings.namespaces or (None,), settings.resync_seconds)
        workers.start(asyncio.create_task(again, name="resync"))
        parts.append(Operator(cache, queue, workers))

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        for part in parts:
            await part.workers.stop()

    @kopf.on.probe(registry=registry, id="workers")
    async def probe(**_: Any) -> str:
        illness = next((found for part in parts if (found := part.workers.illness())), None)
        if illness:
            raise kopf.PermanentError(illness)
        return "working"

    for kind, resource in RESOURCES.items():
        _watch(registry, kind, resource, cache, parts)


def _watch(
    registry: kopf.OperatorRegistry,
    kind: str,
    resource: tuple[str, str, str],
    cache: Cache,
    parts: list[Operator],
) -> None:
    @kopf.index(*resource, registry=registry, id=f"index-{kind}")
    async def remember(body: kopf.Body, **_: Any) -> None:
        cache.put(kind, body)

    @kopf.on.event(*resource, registry=registry, id=f"event-{kind}")
    async def notice(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        key = cache.drop(kind, body) if type == "DELETED" else cache.put(kind, body)
        for part in parts:
            if key is not None:
                part.queue.add(key)


def kopf_settings() -> kopf.OperatorSettings:
    """Configure kopf as a source of events and nothing else."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.scanning.disabled = True
    found.peering.standalone = True
    found.process.ultimate_exiting_timeout = 25
    for kind in ("jobs", "pods"):
        found.watching.label_selectors[RESOURCES[kind]] = CHILD_SELECTOR
    found.watching.server_timeout = 600
    for chatty in ("kopf", "aiohttp.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return found

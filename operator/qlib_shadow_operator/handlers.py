"""The handlers that kopf calls. They update the cache and enqueue the run; the workers reconcile it.

Our handlers are `on.event` handlers, for which kopf writes no finalizer, annotation or status. No run is
reconciled before the cache was compared with full lists. kopf's own means for that, its indices, would hold
every object in memory until the last one is listed.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Final

import kopf

from qlib_shadow_operator.kube.session import open_session
from qlib_shadow_operator.kube.timeouts import (
    CONNECT_SECONDS,
    LIST_CHUNK,
    READ_SECONDS,
    WATCH_BACKOFFS,
    WATCH_SECONDS,
    WATCH_SILENCE_LIMIT,
)
from qlib_shadow_operator.loop.cluster_cache import ClusterCache, Key
from qlib_shadow_operator.loop.reconcile import Reconciler
from qlib_shadow_operator.loop.shutdown import STOP_DEADLINE_SECONDS, Shutdown
from qlib_shadow_operator.loop.stateless import NoDiffs, NoProgress
from qlib_shadow_operator.loop.watch_gaps import Gaps
from qlib_shadow_operator.loop.workers import Workers, poll_api_server, resync
from qlib_shadow_operator.loop.workqueue import WorkQueue
from qlib_shadow_operator.runs.names import CHILD_SELECTOR, GROUP, PLURAL, VERSION
from qlib_shadow_operator.telemetry.scrape import ScrapeCollector

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_operator.kube.cluster import Cluster
    from qlib_shadow_operator.kube.traffic import Call, RequestObserver
    from qlib_shadow_operator.settings import Settings
    from qlib_shadow_operator.telemetry.wiring import Telemetry

LOOP_POLL_SECONDS: Final = 30.0
"""Seconds between two requests that check whether the API server answers."""
OBJECT_IDLE: Final = 0.05
"""Seconds without events after which kopf ends the task for an object, which holds it in memory."""
RESOURCES: Final = {
    "runs": (GROUP, VERSION, PLURAL),
    "jobs": ("batch", "v1", "jobs"),
    "pods": ("", "v1", "pods"),
}


def register(
    registry: kopf.OperatorRegistry, settings: Settings, cluster: Cluster, telemetry: Telemetry
) -> Shutdown:
    """Build the operator's parts and register their handlers with kopf."""
    cache = ClusterCache(settings.defaults.claim_name)
    queue: WorkQueue[Key] = WorkQueue(_call_later, random.random, time.monotonic, telemetry.queue_waited)
    reconciler = Reconciler(
        cache, cluster, settings.defaults, changed=telemetry.changed, posted=telemetry.posted
    )
    workers = Workers(
        queue, reconciler.reconcile, settings.workers, reconciled=telemetry.reconciled, about=reconciler.about
    )
    health, figures = telemetry.health, ScrapeCollector(cache, telemetry.health, queue.__len__)
    health.loop_problem, health.oldest_wait = workers.loop_problem, lambda: queue.oldest_wait
    telemetry.metrics.add(figures)
    gaps, shutdown = Gaps(), Shutdown(health, workers)

    def compared() -> None:
        health.reconcile_ended()
        workers.begin()

    def answered(call: Call, code: str, seconds: float) -> None:
        telemetry.answered(call, code, seconds)
        gaps.answered(call, code)

    @kopf.on.login(registry=registry)
    async def login(**given: Any) -> kopf.AiohttpSession:
        return await log_in(answered, **given)

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        where = settings.namespaces or (None,)
        again = resync(
            cache,
            queue,
            cluster,
            where,
            period=settings.resync_seconds,
            watched=health.all_watches_open,
            gap=gaps.found,
            compared=compared,
        )
        pulse = poll_api_server(cluster.crd_is_there, LOOP_POLL_SECONDS)
        workers.start(asyncio.create_task(again, name="resync"), asyncio.create_task(pulse, name="pulse"))
        health.begin()

    @kopf.on.event(*RESOURCES["runs"], registry=registry, id="forget")
    async def forget(type: str | None, uid: str, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name
        if type == "DELETED":
            reconciler.forget(uid)
            figures.keep(body)

    for kind in RESOURCES:
        _watch(registry, kind, cache, queue, telemetry)
    return shutdown


async def log_in(observer: RequestObserver, **given: Any) -> kopf.AiohttpSession:
    """Log in as kopf does, but with our own HTTP session."""
    found = await asyncio.to_thread(kopf.login_via_client, **given)
    if found is None:  # only where the client is not installed
        raise kopf.LoginError("the Kubernetes client gives no credentials")
    session = open_session(found.as_http_headers(), found.as_ssl_context(), observer)
    return kopf.AiohttpSession(
        server=found.server, default_namespace=found.default_namespace, aiohttp_session=session
    )


def _watch(
    registry: kopf.OperatorRegistry,
    kind: str,
    cache: ClusterCache,
    queue: WorkQueue[Key],
    telemetry: Telemetry,
) -> None:
    resource = RESOURCES[kind]

    @kopf.on.event(*resource, registry=registry, id=f"event-{kind}")
    async def notice(
        type: str | None,  # noqa: A002 - kopf's name
        body: kopf.Body,
        namespace: str | None,
        **_: Any,
    ) -> None:
        telemetry.watch_event(kind, namespace, type)
        key = cache.drop(kind, body) if type == "DELETED" else cache.put(kind, body)
        if key is not None:
            queue.add(key)


def _call_later(delay: float, ring: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(delay, ring)


def kopf_settings() -> kopf.OperatorSettings:
    """Return settings that make kopf deliver events and write nothing."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.persistence.diffbase_storage = NoDiffs()
    found.persistence.progress_storage = NoProgress()
    found.scanning.disabled = True
    found.peering.standalone = True
    found.process.ultimate_exiting_timeout = STOP_DEADLINE_SECONDS
    found.networking.request_timeout = READ_SECONDS
    found.networking.connect_timeout = CONNECT_SECONDS
    found.networking.error_backoffs = WATCH_BACKOFFS
    found.queueing.idle_timeout = OBJECT_IDLE
    found.watching.chunk_size = LIST_CHUNK
    found.watching.server_timeout = WATCH_SECONDS
    found.watching.inactivity_timeout = WATCH_SILENCE_LIMIT
    for kind in ("jobs", "pods"):
        found.watching.label_selectors[RESOURCES[kind]] = CHILD_SELECTOR
    return found

"""`python -m qlib_shadow_operator`: the operator's process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

import kopf

from qlib_shadow_operator.handlers import kopf_settings, register
from qlib_shadow_operator.kube.cluster import Cluster, ClusterError, NoClusterError
from qlib_shadow_operator.loop.cluster_cache import KINDS
from qlib_shadow_operator.loop.probes import Health, HealthLimits
from qlib_shadow_operator.loop.shutdown import EXIT_FAILED
from qlib_shadow_operator.loop.stateless import NoMemories
from qlib_shadow_operator.printing import print_error
from qlib_shadow_operator.settings import Settings, SettingsError, read_settings
from qlib_shadow_operator.telemetry import logs
from qlib_shadow_operator.telemetry.endpoint import Endpoint, PortTakenError, metrics_page, report_page
from qlib_shadow_operator.telemetry.wiring import Telemetry

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("qlib_shadow_operator")

EXIT_USAGE: Final = 2
CRD_TIMEOUT_SECONDS: Final = 5.0
"""Seconds between two checks for the CRD."""


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Run the operator until it is told to stop, and return its exit code."""
    try:
        settings = read_settings(environ)
        logs.configure(settings.log_level, settings.log_format)
        telemetry = Telemetry(health(settings))
        cluster = Cluster.connect(settings.workers, telemetry.answered)
        serve(settings, telemetry)
    except (SettingsError, NoClusterError, PortTakenError) as error:
        print_error(str(error))
        return EXIT_USAGE
    # Process 1 of a container ignores the signal unless it is handled; Shutdown takes over later.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    wait_for_crd(cluster, telemetry.health)
    return run(settings, cluster, telemetry)


def health(settings: Settings) -> Health:
    """Return the health record with its limits and the watches that it expects."""
    limits = HealthLimits(
        settings.watch_limit_seconds, settings.stall_limit_seconds, settings.contact_limit_seconds
    )
    watches = [(kind, namespace) for kind in KINDS for namespace in settings.namespaces or (None,)]
    return Health(limits, watches)


def serve(settings: Settings, telemetry: Telemetry) -> None:
    """Serve metrics and probes, from before the CRD exists."""
    pages = {
        "/metrics": metrics_page(telemetry.metrics.registry),
        "/healthz": report_page(telemetry.health.alive),
        "/readyz": report_page(telemetry.health.ready),
    }
    port = Endpoint(settings.health_port, pages).server_port
    logger.info("serving %s at port %d", ", ".join(pages), port, extra={"port": port})


def wait_for_crd(cluster: Cluster, health: Health) -> None:
    """Wait until the CRD is installed: kopf looks for it only once, at its start."""
    while True:
        try:
            if cluster.crd_is_there():
                return
            news = "the CRD qlibshadowruns.qlibshadow.io is not installed; waiting for it"
        except ClusterError as error:
            news = f"waiting for the API server: {error}"
        if news != health.startup_blocker:
            logger.warning(news)
        health.startup_blocker = news
        time.sleep(CRD_TIMEOUT_SECONDS)


def run(settings: Settings, cluster: Cluster, telemetry: Telemetry) -> int:
    """Run the operator under kopf, and return the exit code."""
    where = ", ".join(settings.namespaces) or "the whole cluster"
    image, claim = settings.defaults.image, settings.defaults.claim_name
    logger.info("watching %s", where, extra={"image": image, "claim": claim})
    try:
        asyncio.run(operate(settings, cluster, telemetry))
    except Exception:
        logger.critical("the operator cannot continue; exiting so that it is restarted", exc_info=True)
        return EXIT_FAILED
    logger.info("stopped")
    return 0


async def operate(settings: Settings, cluster: Cluster, telemetry: Telemetry) -> None:
    """Do what kopf.run does, but with our own signal handlers."""
    ours = asyncio.all_tasks()
    registry = kopf.get_default_registry()
    shutdown = register(registry, settings, cluster, telemetry)
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=kopf_settings(),
        memories=NoMemories(),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        stop_flag=shutdown.flag,
    )
    shutdown.listen()
    shutdown.follow(tasks)
    await kopf.run_tasks(tasks, ignored=ours)


if __name__ == "__main__":
    sys.exit(main())

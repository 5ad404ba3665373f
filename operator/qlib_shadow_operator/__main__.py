"""`python -m qlib_shadow_operator`: the operator's process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from typing import Final

import kopf

from qlib_shadow_operator.handlers import kopf_settings, register
from qlib_shadow_operator.kube.cluster import Cluster, ClusterError, NoClusterError
from qlib_shadow_operator.settings import Settings, SettingsError, read_settings

logger = logging.getLogger(__name__)

EXIT_USAGE: Final = 2
CRD_PATIENCE: Final = 5.0
"""Seconds between two looks for the CRD."""


def main() -> int:
    """Run until told to stop."""
    try:
        settings = read_settings(os.environ)
        configure_logs(settings)
        cluster = Cluster.connect(settings.workers)
    except (SettingsError, NoClusterError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    # Process 1 of a container ignores the signal unless it is handled; kopf takes over when it runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    wait_for_crd(cluster)
    run(settings, cluster)
    return 0


def configure_logs(settings: Settings) -> None:
    """Log one JSON object a line, with run and stage as fields."""
    kopf.configure(log_format=kopf.LogFormat.JSON if settings.log_format == "json" else kopf.LogFormat.FULL)
    logging.getLogger().setLevel(settings.log_level)


def wait_for_crd(cluster: Cluster) -> None:
    """Wait until the API server knows QlibShadowRun: kopf would look once, find nothing and watch nothing."""
    told = ""
    while True:
        try:
            if cluster.crd_is_there():
                return
            news = "the CRD qlibshadowruns.qlibshadow.io is not installed; waiting for it"
        except ClusterError as error:
            news = f"waiting for the API server: {error}"
        if news != told:
            logger.warning(news)
            told = news
        time.sleep(CRD_PATIENCE)


def run(settings: Settings, cluster: Cluster) -> None:
    """Hand over to kopf."""
    where = ", ".join(settings.namespaces) or "the whole cluster"
    logger.info(
        "watching %s", where, extra={"image": settings.defaults.image, "claim": settings.defaults.claim_name}
    )
    registry = kopf.get_default_registry()
    register(registry, settings, cluster)
    kopf.run(
        registry=registry,
        settings=kopf_settings(),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        liveness_endpoint=f"http://0.0.0.0:{settings.health_port}/healthz",
    )
    logger.info("stopped")


if __name__ == "__main__":
    sys.exit(main())

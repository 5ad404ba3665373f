"""The API server restarts, or a connection to it is cut without notice: the same operator continues."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from tests.chaos.proxy import Proxy, address_of, through

from qlib_shadow_operator.kube.timeouts import READ_SECONDS, RECOVERY_LIMIT
from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.conftest import Hire
    from tests.chaos.scenario import Theatre

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.chaos,
    # A handshake that the dying server breaks off is left to the garbage collector by the tests' own client.
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]

RESTARTS = int(os.environ.get("QLIB_SHADOW_CHAOS_RESTARTS", "2"))
RUNS = int(os.environ.get("QLIB_SHADOW_CHAOS_RUNS", "5"))
WATCHES = 3
BUSY_MACHINE = 60.0
"""Seconds more than promised, for a busy machine."""


def test_runs_complete_although_the_api_server_restarts(theatre: Theatre, hire: Hire):
    """It is killed and restarted while runs are in progress; the operator never restarts."""
    operator = hire()
    names = [f"run-{number}" for number in range(RUNS)]
    for restart in range(RESTARTS):
        theatre.apply(*names[restart * RUNS // RESTARTS : (restart + 1) * RUNS // RESTARTS])
        # kopf looks for the kinds once, at its start, and a server that comes back may not have them yet.
        wait_for(lambda: theatre.has_begun(names[0]), PATIENCE, "the first run to begin")
        operator.live_for(random.uniform(0, 4))
        theatre.cluster.kill("kube-apiserver")
        theatre.cluster.start("kube-apiserver")
    theatre.wait_for_all()
    theatre.check(*names)
    assert operator.lives()


@pytest.fixture
def proxy(theatre: Theatre) -> Iterator[Proxy]:
    """Yield a proxy in front of the API server."""
    proxy = Proxy(address_of(theatre.kubeconfig))
    yield proxy
    proxy.close()


def test_cut_connection_is_detected(theatre: Theatre, hire: Hire, proxy: Proxy, tmp_path: Path):
    """No packet shows it, and no connection ends. New runs start within the documented time."""
    operator = hire(through(proxy, theatre.kubeconfig, tmp_path / "kubeconfig"))
    theatre.apply("before")
    theatre.wait_for_all()
    assert proxy.cut() >= WATCHES
    theatre.apply("after")
    wait_for(
        lambda: theatre.has_begun("after"), RECOVERY_LIMIT + READ_SECONDS + BUSY_MACHINE, "the next look"
    )
    theatre.wait_for_all()
    theatre.check("before", "after")
    assert operator.lives()

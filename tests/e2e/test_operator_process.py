"""The operator as a process on its own control plane: its log, its endpoint, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml

from lossy_proxy import Relay
from operator_processes import alarms
from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testcluster import Cluster

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
CRD = ROOT / "manifests/crd/qlibshadowruns.yaml"
DOCUMENTED = re.findall(r"\| `(qlib_shadow_\w+)`", (ROOT / "docs/metrics.md").read_text())
KILLED_AT_ONCE = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Operator:
    """A running operator."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return the log; a line that is not JSON fails the test."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def said(self, beginning: str) -> bool:
        """Return whether a log message begins like this."""
        return any(line["message"].startswith(beginning) for line in self.lines)

    @property
    def port(self) -> int:
        """Return the port from the log."""
        wait_for(lambda: self.said("serving "), PATIENCE, "the port")
        port: int = next(line["port"] for line in self.lines if "port" in line)
        return port

    def ask(self, path: str) -> tuple[int, str]:
        """Send a request as a probe does."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def reasons(self, path: str) -> list[str]:
        """Return the reasons of a probe."""
        status, body = self.ask(path)
        report = json.loads(body)
        assert (status, report["ok"]) in {(200, True), (503, False)}
        reasons: list[str] = report["reasons"]
        return reasons

    def wait_until_ready(self) -> None:
        """Wait as the kubelet does."""
        wait_for(lambda: not self.reasons("/readyz"), PATIENCE, f"readiness; see {self.log}")

    def metric(self, sample: str) -> float:
        """Return one sample by its scraped name; 0 if there is none."""
        _, text = self.ask("/metrics")
        found = [line for line in text.splitlines() if line.startswith(f"{sample} ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0


@pytest.fixture(scope="module")
def control_plane(start_control_plane: Callable[[], Cluster]) -> Cluster:
    """Return a control plane whose CRD may be deleted."""
    return start_control_plane()


@pytest.fixture
def research(control_plane: Cluster) -> Iterator[str]:
    """Yield a namespace, with the CRD."""
    control_plane.kubectl("apply", "-f", str(CRD))
    control_plane.wait_until_served("qlibshadowruns.qlibshadow.io")
    control_plane.kubectl("create", "namespace", "research")
    yield "research"
    control_plane.kubectl("delete", "namespace", "research", "--wait=true")


@contextmanager
def operator(kubeconfig: Path, log: Path, **settings: str) -> Iterator[Operator]:
    """Start an operator, and stop it."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    settings = {"HEALTH_PORT": "0", "QUERY_AFTER_SECONDS": "3", **settings}
    environ = {**keep, "KUBECONFIG": str(kubeconfig)}
    environ |= {f"QLIB_SHADOW_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "qlib_shadow_operator"]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, env=environ, stdout=stderr, stderr=stderr, cwd=log.parent)
    try:
        yield Operator(process, log)
    finally:
        process.kill()
        process.wait()


@contextmanager
def relay_to(cluster: Cluster, folder: Path) -> Iterator[tuple[Relay, Path]]:
    """Yield a proxy to the API server and its kubeconfig."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    [entry] = config["clusters"]
    server = urlsplit(entry["cluster"]["server"])
    assert server.hostname
    assert server.port
    relay = Relay((server.hostname, server.port))
    entry["cluster"]["server"] = f"https://127.0.0.1:{relay.port}"
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    try:
        yield relay, path
    finally:
        relay.close()


def a_run(name: str) -> dict[str, Any]:
    """Return a run that waits for a node, of which there is none."""
    return {
        "apiVersion": "qlibshadow.io/v1alpha1",
        "kind": "QlibShadowRun",
        "metadata": {"name": name},
        "spec": {"dataset": {"source": {"synthetic": {}}}},
    }


def test_operator_waits_for_the_crd(control_plane: Cluster, tmp_path: Path):
    """Alive but not ready, with the reason; then it starts by itself."""
    control_plane.kubectl("delete", "-f", str(CRD), "--ignore-not-found", "--wait=true")
    with operator(control_plane.kubeconfig, tmp_path / "log") as one:
        wanted = ["the CRD qlibshadowruns.qlibshadow.io is not installed; waiting for it"]
        wait_for(lambda: one.reasons("/readyz") == wanted, PATIENCE, "the reason")
        assert one.reasons("/healthz") == []
        control_plane.kubectl("apply", "-f", str(CRD))
        one.wait_until_ready()
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(PATIENCE) == 0


def test_operator_stops_while_it_waits_for_the_crd(control_plane: Cluster, tmp_path: Path):
    """As a pod that is deleted again at once."""
    control_plane.kubectl("delete", "-f", str(CRD), "--ignore-not-found", "--wait=true")
    with operator(control_plane.kubeconfig, tmp_path / "log") as one:
        wait_for(lambda: one.said("the CRD "), PATIENCE, "the wait")
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(PATIENCE) == 0


def test_operator_ends_at_once_when_the_crd_is_deleted(control_plane: Cluster, research: str, tmp_path: Path):
    """Its watch has ended for good; the next process waits for the CRD. Until it ends it is not ready."""
    with operator(control_plane.kubeconfig, tmp_path / "log", NAMESPACES=research) as one:
        one.wait_until_ready()
        control_plane.kubectl("delete", "-f", str(CRD), "--wait=true")
        assert one.process.wait(PATIENCE) == 1
        assert one.said("the operator cannot continue")
    with operator(control_plane.kubeconfig, tmp_path / "log-2", NAMESPACES=research) as one:
        wait_for(lambda: one.said("the CRD "), PATIENCE, "the wait for the CRD")
        control_plane.kubectl("apply", "-f", str(CRD))
        one.wait_until_ready()
        control_plane.apply(a_run("demo"), namespace=research)
        sample = 'qlib_shadow_runs{phase="Pending",reason="Unschedulable"}'
        wait_for(lambda: one.metric(sample) == 1, PATIENCE, "a run of the new CRD")


def test_run_appears_in_metrics_and_log(control_plane: Cluster, research: str, tmp_path: Path):
    """Every line about it has run and stage; every metric is documented."""
    with operator(control_plane.kubeconfig, tmp_path / "log", NAMESPACES=research) as one:
        one.wait_until_ready()
        control_plane.apply(a_run("demo"), namespace=research)
        sample = 'qlib_shadow_runs{phase="Pending",reason="Unschedulable"}'
        wait_for(lambda: one.metric(sample) == 1, PATIENCE, "the run to be counted")
        wait_for(
            lambda: one.metric('qlib_shadow_events_total{outcome="posted"}') >= 2, PATIENCE, "its Events"
        )
        assert one.metric('qlib_shadow_api_requests_total{code="201",resource="jobs",verb="create"}') == 1
        assert one.metric('qlib_shadow_watch_events_total{kind="runs",type="ADDED"}') == 1
        assert one.metric('qlib_shadow_reconcile_duration_seconds_count{outcome="defect"}') == 0
        _, text = one.ask("/metrics")
        names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
        assert sorted(name for name in names if name.startswith("qlib_shadow_")) == sorted(DOCUMENTED)
        about = [line for line in one.lines if line["logger"] == "qlib_shadow_operator.loop.reconcile"]
        assert about
        assert {(line["run"], line["stage"]) for line in about} == {(f"{research}/demo", "download")}
        control_plane.kubectl("delete", "qsr", "demo", "--namespace", research)
        wait_for(lambda: one.metric(sample) == 0, PATIENCE, "the run to be gone")


def test_operator_stops_on_sigterm(control_plane: Cluster, research: str, tmp_path: Path):
    """Code 0, and the last line says so."""
    with operator(control_plane.kubeconfig, tmp_path / "log", NAMESPACES=research) as one:
        one.wait_until_ready()
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(PATIENCE) == 0
        assert one.lines[-1]["message"] == "stopped"
        assert alarms(one.lines) == []


@pytest.mark.parametrize(("signals", "code"), [(1, 0), (2, KILLED_AT_ONCE)])
def test_hanging_pass_does_not_delay_the_stop(
    control_plane: Cluster, research: str, tmp_path: Path, signals: int, code: int
):
    """It is waited for briefly, and not at all after a second signal; meanwhile the operator is not ready."""
    with (
        relay_to(control_plane, tmp_path) as (relay, kubeconfig),
        operator(kubeconfig, tmp_path / "log", NAMESPACES=research) as one,
    ):
        one.wait_until_ready()
        relay.swallows = True
        control_plane.apply(a_run("hanging"), namespace=research)
        wait_for(lambda: one.metric("qlib_shadow_queue_wait_seconds_count") >= 1, PATIENCE, "the look")
        one.process.send_signal(signal.SIGTERM)
        wait_for(lambda: one.said("stopping"), PATIENCE, "the begin of the end")
        if signals > 1:
            one.process.send_signal(signal.SIGTERM)
        else:
            assert one.reasons("/readyz") == ["the operator is stopping"]
            assert one.reasons("/healthz") == []
        assert one.process.wait(PATIENCE) == code


def test_a_missing_cluster_is_one_sentence(tmp_path: Path):
    """Code 2, no traceback."""
    with operator(tmp_path / "nowhere", tmp_path / "log") as one:
        assert one.process.wait(PATIENCE) == 2
        [line] = one.log.read_text().splitlines()
        assert line.startswith("no cluster to talk to: ")
        assert line.endswith("; run in a pod, or set KUBECONFIG")

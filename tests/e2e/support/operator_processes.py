"""Operators as local processes with exactly the rights of manifests/rbac, in their own namespaces."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import yaml

from installation import ROOT
from qlib_shadow_operator.runs.allowed import Allowed
from qlib_shadow_runner.contract.fields import fields_of
from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testcluster import Cluster

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
ACCOUNT = "qlib-shadow-operator"
SMALL = json.dumps({"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "2Gi"}})


ALLOWED = json.dumps({one.key: ["*"] for one in fields_of(Allowed) if one.key != "secrets"})
"""Runs may choose everything but Secrets: most tests are about what becomes of a choice."""
QUERY_AFTER_SECONDS = 3
"""How late a pod may start before the operator queries the cause: the tests wait as long."""
ALARMING = ("defect", "traceback", "forbidden", "is invalid")
"""Words of a defect or of a refused request; a slow API server is not a fault."""
TRIED_AGAIN = "Request attempt #"
"""kopf logs a retry as an error."""


def synthetic(path: str, **more: Any) -> dict[str, Any]:
    """Return a small synthetic dataset."""
    source = {"synthetic": {"symbols": 10, "days": 260, **more}}
    return {"path": f"/data/qlib/{path}", "source": source}


def unreachable(path: str) -> dict[str, Any]:
    """Return an archive that is not served: the download runs for a while, and then fails transiently."""
    source = {"archive": {"url": "https://127.0.0.1:9/us.zip", "sha256": "0" * 64}}
    return {"path": f"/data/qlib/{path}", "source": source}


@dataclass(frozen=True)
class Workshop:
    """One namespace with a volume, as its user sees it."""

    cluster: Cluster
    namespace: str
    data: Path

    def kubectl(self, *args: str, **kwargs: Any) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl(f"--namespace={self.namespace}", *args, **kwargs)

    def get(self, kind: str, *args: str) -> dict[str, Any]:
        """Return an object, or several."""
        return self.cluster.get(kind, *args, f"--namespace={self.namespace}")

    def objects(self, kind: str, *args: str) -> list[dict[str, Any]]:
        """Return objects; there may be none."""
        found: list[dict[str, Any]] = self.get(kind, *args).get("items", [])
        return found

    def run(self, name: str, **spec: Any) -> str:
        """Apply a run."""
        body = {"apiVersion": "qlibshadow.io/v1alpha1", "kind": "QlibShadowRun"}
        self.cluster.apply(body | {"metadata": {"name": name}, "spec": spec}, namespace=self.namespace)
        return name

    def change(self, run: str, **spec: Any) -> None:
        """Change a run's spec, as a user does."""
        self.kubectl("patch", "qsr", run, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    def run_held_back(self, name: str, **spec: Any) -> dict[str, Any]:
        """Apply a run whose download fits no node yet; wait until it is reported, and return its Job."""
        gate = {"download": {"nodeSelector": {f"{self.namespace}/{name}": "open"}}}
        self.run(name, **spec, stages=gate)
        self.wait_for_stage(name, "download", reason="Unschedulable")
        [job] = self.jobs(name).values()
        return job

    def let_in(self, run: str) -> None:
        """Let a held-back run start."""
        self.cluster.kubectl("label", "nodes", "--all", f"{self.namespace}/{run}=open")

    def wait(self, run: str, condition: str) -> None:
        """Wait for a condition, as a user does."""
        self.kubectl("wait", f"--for=condition={condition}", f"qsr/{run}", f"--timeout={PATIENCE}s")

    def wait_for_stage(self, run: str, stage: str, **values: str) -> dict[str, Any]:
        """Wait until a stage's status has some values, and return it."""
        for name, value in values.items():
            path = f"{{.status.stages[?(@.name=='{stage}')].{name}}}"
            self.kubectl("wait", f"--for=jsonpath={path}={value}", f"qsr/{run}", f"--timeout={PATIENCE}s")
        return self.stage(run, stage)

    def status(self, run: str) -> dict[str, Any]:
        """Return a run's status."""
        found: dict[str, Any] = self.get("qsr", run)["status"]
        return found

    def stage(self, run: str, stage: str) -> dict[str, Any]:
        """Return a stage's status."""
        return next(one for one in self.status(run)["stages"] if one["name"] == stage)

    def condition(self, run: str, kind: str) -> dict[str, Any]:
        """Return a condition."""
        return next(one for one in self.status(run)["conditions"] if one["type"] == kind)

    def failure(self, run: str) -> dict[str, Any]:
        """Wait for a run to fail, and return the condition Failed."""
        self.wait(run, "Failed")
        return self.condition(run, "Failed")

    def jobs(self, run: str) -> dict[str, dict[str, Any]]:
        """Return the Jobs of a run by name."""
        found = self.objects("jobs", f"--selector=qlibshadow.io/run={run}")
        return {job["metadata"]["name"]: job for job in found}

    def pods(self, run: str) -> list[dict[str, Any]]:
        """Return the pods of a run, oldest first."""
        found = self.objects("pods", f"--selector=qlibshadow.io/run={run}")
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def running_pod(self, run: str) -> str:
        """Wait until a run has a running pod, and return its name."""
        selector = (f"--selector=qlibshadow.io/run={run}", "--field-selector=status.phase=Running")

        def found() -> str:
            alive = [p for p in self.objects("pods", *selector) if "deletionTimestamp" not in p["metadata"]]
            return str(alive[0]["metadata"]["name"]) if alive else ""

        return wait_for(found, PATIENCE, f"a running pod of {run}")

    def events(self, run: str) -> dict[str, str]:
        """Return the Events of a run, by reason."""
        found = self.objects("events.events.k8s.io", f"--field-selector=regarding.name={run}")
        return {one["reason"]: one["note"] for one in found}

    def notes(self, run: str) -> str:
        """Return what all Events of a run say."""
        found = self.objects("events.events.k8s.io", f"--field-selector=regarding.name={run}")
        return "\n".join(one["note"] for one in found)

    def told(self, run: str, reason: str) -> str:
        """Wait for an Event about a run: it comes a moment after the status."""
        return wait_for(lambda: self.events(run).get(reason, ""), PATIENCE, f"the Event {reason} of {run}")


@dataclass
class Process:
    """An operator that can be killed and restarted."""

    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)
    seen: int = 0
    """How much of the log is from an earlier process."""

    def start(self) -> None:
        """Start it, and wait until it watches."""
        with self.log.open("ab") as log:
            self.seen = log.tell()
            command = (sys.executable, "-m", "qlib_shadow_operator")
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        wait_for(self.is_watching, PATIENCE, "the operator to watch")

    def is_watching(self) -> bool:
        """Return whether it watches; a dead process is an error."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        return b"watching" in self.log.read_bytes()[self.seen :]

    def kill(self) -> None:
        """Kill it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def lines(self) -> list[dict[str, Any]]:
        """Return its log."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


def alarms(lines: list[dict[str, Any]], *words: str) -> list[str]:
    """Return the log messages about defects, refusals, or such words; a slow API server is neither."""
    found = []
    for line in lines:
        message, level = line["message"], line["level"]
        is_error = level in {"error", "critical"} and not message.startswith(TRIED_AGAIN)
        speaks_so = any(word in message.lower() for word in (*ALARMING, *words))
        if is_error or (speaks_so and level != "info"):
            found.append(message)
    return found


@contextmanager
def workshop(cluster: Cluster, *, policy: bool = True) -> Iterator[Workshop]:
    """Create a namespace with a volume, and delete it afterwards."""
    name = f"test-{uuid4().hex[:8]}"
    make_namespace(cluster, name)
    if policy:
        found = (ROOT / "manifests/network-policy/qrun.yaml").read_text()
        cluster.kubectl("apply", f"--namespace={name}", "-f", "-", input=found)
    volume = cluster.volume(name, "qlib-shadow-data")
    try:
        yield Workshop(cluster, name, volume.path)
    finally:
        remove_namespace(cluster, name)


def define_runs(cluster: Cluster) -> None:
    """Apply the CRD."""
    cluster.kubectl("apply", "-f", str(ROOT / "manifests/crd/qlibshadowruns.yaml"))
    cluster.wait_until_served("qlibshadowruns.qlibshadow.io")


def make_namespace(cluster: Cluster, name: str) -> None:
    """Create a namespace that admits only restricted pods."""
    metadata = {"name": name, "labels": RESTRICTED}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    account = ("serviceaccount/default", f"--namespace={name}")
    cluster.kubectl("wait", "--for=create", *account, f"--timeout={PATIENCE}s")


def remove_namespace(cluster: Cluster, name: str) -> None:
    """Delete a namespace with its volumes, without waiting."""
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
    cluster.kubectl("delete", "pv", f"--selector=qlibshadow.io/test-namespace={name}", "--wait=false")


@contextmanager
def operating(
    cluster: Cluster, folder: Path, namespaces: tuple[str, ...], image: str, **settings: str
) -> Iterator[Process]:
    """Run an operator for some namespaces; the first one holds its account."""
    log = folder / f"operator-{namespaces[0]}.log"
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ},
        "KUBECONFIG": str(account(cluster, folder, namespaces)),
        "QLIB_SHADOW_NAMESPACES": ",".join(namespaces),
        "QLIB_SHADOW_RUNNER_IMAGE": image,
        "QLIB_SHADOW_DOWNLOAD_RESOURCES": SMALL,
        "QLIB_SHADOW_QRUN_RESOURCES": SMALL,
        "QLIB_SHADOW_HEALTH_PORT": str(free_port()),
        "QLIB_SHADOW_QUERY_AFTER_SECONDS": str(QUERY_AFTER_SECONDS),
        "QLIB_SHADOW_ALLOWED": ALLOWED,
        **{f"QLIB_SHADOW_{name}": value for name, value in settings.items()},
    }
    process = Process(environment, log)
    try:
        process.start()
        yield process
    finally:
        process.kill()
        sys.stdout.write(log.read_text()[-20_000:])  # pytest shows it if a test failed


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as lent:
        lent.bind(("127.0.0.1", 0))
        return int(lent.getsockname()[1])


def account(cluster: Cluster, folder: Path, namespaces: tuple[str, ...]) -> Path:
    """Write a kubeconfig of the operator's account, with the rights of manifests/rbac in each namespace."""
    home = namespaces[0]
    meta = {"name": ACCOUNT, "namespace": home}
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    role, binding = (
        yaml.safe_load((ROOT / f"manifests/rbac/{name}.yaml").read_text()) for name in ("role", "rolebinding")
    )
    binding["subjects"][0]["namespace"] = home
    for namespace in namespaces:
        cluster.apply(role, binding, namespace=namespace)
    token = cluster.kubectl("create", "token", ACCOUNT, f"--namespace={home}", "--duration=2h").strip()
    config = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    config["users"][0]["user"] = {"token": token}
    path = folder / f"kubeconfig-{home}"
    path.write_text(json.dumps(config))
    return path

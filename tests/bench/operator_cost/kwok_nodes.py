"""Nodes and pods simulated by kwok: a pod runs at once, ends a second later, and leaves a stage's result."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tests.bench.operator_cost.bench_cluster import WITH_US

from qlib_shadow_operator.runs.names import LABEL_RUN_UID, LABEL_STAGE
from qlib_shadow_runner.contract import Stage
from testcluster import PATIENCE, binaries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.operator_cost.bench_cluster import Place

NODES: Final = 5
RUNS_FOR: Final = 1000
"""Milliseconds."""
DATASET: Final = {
    "path": "/data/qlib/qlib_data/us_data_1d",
    "resolvedPath": "/data/qlib/qlib_data/us_data_1d@3f9c0a1b2c3d",
    "fingerprint": "3f9c0a1b2c3d" + "0" * 52,
    "source": "synthetic seed=7 symbols=60 start=2019-01-02 days=1512",
    "calendarStart": "2019-01-02",
    "calendarEnd": "2025-01-03",
    "days": 1512,
    "instruments": 61,
    "ageDays": 687,
}
METRICS: Final = {
    "ic": 0.0374182732,
    "icir": 0.2818273645,
    "rankIc": 0.0371827364,
    "rankIcir": 0.2781827364,
    "annualizedReturn": 0.0411827364,
    "informationRatio": 0.5618273645,
    "maxDrawdown": -0.0711827364,
    "annualizedReturnWithoutCost": 0.0911827364,
    "informationRatioWithoutCost": 1.2418273645,
    "maxDrawdownWithoutCost": -0.0611827364,
}
MESSAGES: Final = {
    Stage.DOWNLOAD: {"message": "synthetic, 61 instruments, 1,512 days to 2025-01-03", "dataset": DATASET},
    Stage.QRUN: {
        "message": "IC 0.037 · Rank IC 0.037 · excess return 4.1%/yr",
        "dataset": DATASET,
        "metrics": METRICS,
        "configHash": "c" * 64,
        "gitCommit": "9" * 40,
    },
}
"""As long as real ones: their size determines the operator's memory for a run."""


def result(stage: Stage) -> str:
    """Return a stage's termination message; kwok fills in the run's uid."""
    uid = f"{{{{ index .metadata.labels `{LABEL_RUN_UID}` }}}}"
    return json.dumps({"stage": stage, "uid": uid, "reason": "Succeeded", **MESSAGES[stage]})


def behaviour(name: str, kind: str, when: dict[str, str | None], then: dict[str, Any]) -> dict[str, Any]:
    """Return a kwok stage: when it applies, and what follows; None means that a field must be absent."""
    selector = [
        {"key": key, "operator": "In", "values": [value]}
        if value
        else {"key": key, "operator": "DoesNotExist"}
        for key, value in when.items()
    ]
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": selector},
            **then,
        },
    }


def become(status: dict[str, Any], after: int = 0) -> dict[str, Any]:
    """Return a new status, after some milliseconds; JSON is valid YAML, which kwok expects."""
    return {"delay": {"durationMilliseconds": after}, "next": {"statusTemplate": json.dumps(status)}}


READY: Final = {"type": "Ready", "status": "True", "reason": "Pretended", "lastTransitionTime": "{{ Now }}"}
ROOM: Final = {"cpu": "100000", "memory": "1000Ti", "pods": "1000000"}
CONTAINER: Final = {"name": "stage", "image": "stage", "imageID": "stage", "restartCount": 0}
ALIVE: Final[dict[str, str | None]] = {".metadata.deletionTimestamp": None}


def behaviours() -> list[dict[str, Any]]:
    """Return the stages of a ready node, and of pods that run and end."""
    ready: dict[str, Any] = {"phase": "Running", "conditions": [READY]}
    state = {"running": {"startedAt": "{{ Now }}"}}
    running = ready | {
        "startTime": "{{ Now }}",
        "containerStatuses": [{**CONTAINER, "ready": True, "state": state}],
    }
    return [
        behaviour(
            "node", "Node", {".status.phase": None}, become(ready | {"allocatable": ROOM, "capacity": ROOM})
        ),
        behaviour("run", "Pod", ALIVE | {".status.phase": "Pending"}, become(running)),
        *(end(stage) for stage in Stage),
    ]


def end(stage: Stage) -> dict[str, Any]:
    """Return how a stage's pod ends."""
    when = ALIVE | {".status.phase": "Running", f'.metadata.labels["{LABEL_STAGE}"]': str(stage)}
    over = {
        "exitCode": 0,
        "reason": "Completed",
        "message": result(stage),
        "startedAt": "{{ (index .status.containerStatuses 0).state.running.startedAt }}",
        "finishedAt": "{{ Now }}",
    }
    ended = {**CONTAINER, "ready": False, "state": {"terminated": over}}
    status = {"phase": "Succeeded", "containerStatuses": [ended]}
    return behaviour(f"end-{stage}", "Pod", when, become(status, RUNS_FOR))


@contextmanager
def pretend(place: Place) -> Iterator[None]:
    """Simulate nodes and pods during a measurement."""
    settings = place.state / "kwok.yaml"
    settings.write_text("\n---\n".join(json.dumps(one) for one in behaviours()))
    command = (*WITH_US, binaries.kwok(), f"--kubeconfig={place.kubeconfig('kwok')}", f"--config={settings}")
    flags = ("--manage-all-nodes=true", "--node-lease-duration-seconds=40")
    with (place.state / "logs/kwok.log").open("w") as log:
        process = subprocess.Popen((*command, *flags), stdout=log, stderr=subprocess.STDOUT)
    try:
        names = [f"pretended-{number}" for number in range(NODES)]
        place.cluster.apply(
            *({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in names)
        )
        nodes = [f"node/{name}" for name in names]
        place.cluster.kubectl("wait", "--for=condition=Ready", *nodes, f"--timeout={PATIENCE}s")
        yield
    finally:
        process.terminate()
        process.wait()

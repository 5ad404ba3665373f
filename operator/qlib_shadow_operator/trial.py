"""`python -m qlib_shadow_operator.trial`: a tiny run on made-up prices, to its end; what `helm test` starts.

It proves an installation as a user would: by making a run, and watching what the operator says of it.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from qlib_shadow_operator.core.names import APP_NAME, LABEL_NAME, ConditionType
from qlib_shadow_operator.kube.cluster import Cluster, ClusterError, NoClusterError
from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_runner.contract import API_VERSION, KIND, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qlib_shadow_operator.core.model import Run

ENV_NAMESPACE: Final = "QLIB_SHADOW_NAMESPACE"
ENV_NAME: Final = "QLIB_SHADOW_TRIAL"
"""What the run is called."""
PATIENCE: Final = 1800.0
"""Seconds; the operator gives a pod that cannot start half an hour."""
PAUSE: Final = 1.0
SPEC: Final[Mapping[str, Any]] = {
    "dataset": {
        # Apart from everybody's: a trial leaves the dataset of a real run alone.
        "path": "/data/qlib/qlib_data/trial",
        "source": {"synthetic": {"symbols": 20, "days": 400}},
    },
    "workflow": {"model": {"num_boost_round": 20}},
}


class Api(Protocol):
    """What is asked of the API server; see kube.cluster.Cluster."""

    def create_run(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make a run."""

    def list_runs(self, namespace: str, **selectors: str) -> list[dict[str, Any]]:
        """List runs."""

    def delete_run(self, run: Run) -> None:
        """Remove a run."""


def main(environ: Mapping[str, str], connect: Callable[[], Api], pause: Callable[[], None]) -> ExitCode:
    """Make the run, wait, and say how it ended; a run that failed is left for `kubectl describe`."""
    namespace, name = environ.get(ENV_NAMESPACE, ""), environ.get(ENV_NAME, "")
    if not namespace or not name:
        sys.stderr.write(f"{ENV_NAMESPACE} and {ENV_NAME} must be set: where the run is made, and its name\n")
        return ExitCode.BAD_CONFIG
    try:
        api = connect()
        api.create_run(namespace, document(namespace, name))
        run = wait(api, namespace, name, pause)
        return conclude(api, run)
    except (ClusterError, NoClusterError) as error:
        sys.stderr.write(f"the trial run {name}: {error}\n")
        return ExitCode.TRANSIENT


def document(namespace: str, name: str) -> dict[str, Any]:
    """Write the run."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace, "labels": {LABEL_NAME: APP_NAME}},
        "spec": dict(SPEC),
    }


def wait(api: Api, namespace: str, name: str, pause: Callable[[], None]) -> Run | None:
    """Look until the run has ended; say each change. None: somebody removed it, or it took too long."""
    told, run = "", None
    for _ in range(int(PATIENCE / PAUSE)):
        found = api.list_runs(namespace, field_selector=f"metadata.name={name}")
        run = parse_run(found[0]) if found else None
        news = progress(run)
        if news != told:
            sys.stdout.write(f"{name}: {news}\n")
            sys.stdout.flush()
            told = news
        if run is None or run.status.finished:
            break
        pause()
    return run


def progress(run: Run | None) -> str:
    """Say how far a run is."""
    if run is None:
        return "the run is gone; somebody deleted it"
    if run.status.phase is None:
        return "waiting for the operator to notice it"
    stage = run.status.summary.get("stage", "")
    return f"{run.status.phase} {stage}".strip()


def conclude(api: Api, run: Run | None) -> ExitCode:
    """Say the figures and clean up, or say why it failed."""
    if run is None:
        return ExitCode.INTERNAL
    if run.status.is_true(ConditionType.COMPLETE):
        figures = ", ".join(f"{name} {value}" for name, value in run.status.summary.items())
        sys.stdout.write(f"{run.name}: {figures}; artifacts stay at {run.status.artifact_path}\n")
        api.delete_run(run)
        return ExitCode.DONE
    failed = run.status.condition(ConditionType.FAILED)
    if not run.status.finished or failed is None:
        sys.stderr.write(f"{run.name}: not finished after {PATIENCE:.0f} s; is the operator running?\n")
    else:
        sys.stderr.write(f"{run.name}: {failed.reason}: {failed.message}\n")
    return ExitCode.INTERNAL


if __name__ == "__main__":
    sys.exit(main(os.environ, lambda: Cluster.connect(1), lambda: time.sleep(PAUSE)))

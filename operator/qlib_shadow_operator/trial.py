"""`python -m qlib_shadow_operator.trial`: a tiny run on made-up prices, to its end; what `helm test` starts.

It proves an installation as a user would: by making a run, and watching what the operator says of it.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from qlib_shadow_operator.kube.cluster import Cluster, ClusterError, NoClusterError
from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_operator.runs.names import APP_NAME, LABEL_NAME, ConditionType
from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_runner.contract import API_VERSION, KIND, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qlib_shadow_operator.runs.model import Run, StageStatus

ENV_NAMESPACE: Final = "QLIB_SHADOW_NAMESPACE"
ENV_NAME: Final = "QLIB_SHADOW_TRIAL"
"""What the run is called."""
PATIENCE: Final = 1200.0
"""Seconds; well within `helm test --timeout 30m`, or helm gives up first and nobody is told why."""
PAUSE: Final = 1.0
LASTING: Final = frozenset(
    {
        OperatorReason.CLAIM_MISSING,
        OperatorReason.CLAIM_UNUSABLE,
        OperatorReason.IMAGE_UNAVAILABLE,
        OperatorReason.CONTAINER_CANNOT_START,
        OperatorReason.POD_REFUSED,
    }
)
"""Why a stage waits that somebody has to mend; a full cluster, a quota or another node's volume may pass."""
LASTING_FOR: Final = 120.0
"""Seconds after which it is believed: a registry may hiccup, and a volume may be on its way."""
SPEC: Final[Mapping[str, Any]] = {
    "dataset": {
        # Apart from everybody's: a trial leaves the dataset of a real run alone.
        "path": "/data/qlib/qlib_data/trial",
        "source": {"synthetic": {"symbols": 20, "days": 400}},
    },
    "workflow": {"model": {"num_boost_round": 20}},
}


class TrialApi(Protocol):
    """What is asked of the API server; see kube.cluster.Cluster."""

    def create_run(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make a run."""

    def list_runs(self, namespace: str, **selectors: str) -> list[dict[str, Any]]:
        """List runs."""

    def delete_run(self, run: Run) -> None:
        """Remove a run."""


def main(environ: Mapping[str, str], connect: Callable[[], TrialApi], pause: Callable[[], None]) -> ExitCode:
    """Make the run, wait, and say how it ended; a run that failed is left for `kubectl describe`."""
    namespace, name = environ.get(ENV_NAMESPACE, ""), environ.get(ENV_NAME, "")
    if not namespace or not name:
        sys.stderr.write(f"{ENV_NAMESPACE} and {ENV_NAME} must be set: where the run is made, and its name\n")
        return ExitCode.BAD_CONFIG
    try:
        api = connect()
        api.create_run(namespace, document(namespace, name))
        run = wait(api, namespace, name, pause)
        return final_state(api, run)
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


def wait(api: TrialApi, namespace: str, name: str, pause: Callable[[], None]) -> Run | None:
    """Look until the run has ended, or will not by itself; say each change. None: somebody removed it."""
    told, run, stuck = "", None, 0.0
    for _ in range(int(PATIENCE / PAUSE)):
        found = api.list_runs(namespace, field_selector=f"metadata.name={name}")
        run = parse_run(found[0]) if found else None
        news = progress(run)
        if news != told:
            sys.stdout.write(f"{name}: {news}\n")
            sys.stdout.flush()
            told = news
        stuck = stuck + PAUSE if is_stuck(run) else 0.0
        if run is None or run.status.finished or stuck > LASTING_FOR:
            break
        pause()
    return run


def under_way(run: Run) -> StageStatus | None:
    """Find the stage that the run is at."""
    return next((stage for stage in run.status.stages if not stage.finished), None)


def is_stuck(run: Run | None) -> bool:
    """Say whether the run waits for somebody to mend something."""
    stage = under_way(run) if run else None
    return stage is not None and stage.reason in LASTING


def progress(run: Run | None) -> str:
    """Say how far a run is, and what keeps it, in one line."""
    if run is None:
        return "the run is gone; somebody deleted it"
    if run.status.phase is None:
        return "waiting for the operator to notice it"
    far = f"{run.status.phase} {run.status.summary.get('stage', '')}".strip()
    stage = under_way(run)
    why = " ".join(f"{stage.reason}: {stage.message or ''}".split()) if stage and stage.reason else ""
    return f"{far}: {why}" if why else far


def final_state(api: TrialApi, run: Run | None) -> ExitCode:
    """Say the figures and clean up, or say why it failed."""
    if run is None:
        return ExitCode.INTERNAL
    if run.status.is_true(ConditionType.COMPLETE):
        figures = ", ".join(f"{name} {value}" for name, value in run.status.summary.items())
        sys.stdout.write(f"{run.name}: {figures}; artifacts stay at {run.status.artifact_path}\n")
        api.delete_run(run)
        return ExitCode.DONE
    sys.stderr.write(f"{run.name}: {failure_text(run)}\n")
    return ExitCode.INTERNAL


def failure_text(run: Run) -> str:
    """Say why a run is not complete."""
    failed = run.status.condition(ConditionType.FAILED)
    if failed is not None and failed.status:
        return f"{failed.reason}: {failed.message}"
    if is_stuck(run):
        return f"given up, since this will not mend itself: {progress(run)}"
    if run.status.phase is None:
        return f"not finished after {PATIENCE:.0f} s; is the operator running?"
    return f"not finished after {PATIENCE:.0f} s: {progress(run)}"


if __name__ == "__main__":
    sys.exit(main(os.environ, lambda: Cluster.connect(1), lambda: time.sleep(PAUSE)))

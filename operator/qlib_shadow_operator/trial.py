"""`python -m qlib_shadow_operator.trial`: the tiny run on synthetic prices that `helm test` starts.

It tests an installation as a user would: it creates a run and watches its status.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from qlib_shadow_operator.kube.cluster import Cluster, ClusterError, NoClusterError
from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_operator.printing import print_error, print_line
from qlib_shadow_operator.runs.names import APP_NAME, LABEL_NAME, ConditionType
from qlib_shadow_operator.runs.reasons import OperatorReason
from qlib_shadow_runner.contract import API_VERSION, KIND, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qlib_shadow_operator.runs.model import Run, StageStatus

ENV_NAMESPACE: Final = "QLIB_SHADOW_NAMESPACE"
ENV_NAME: Final = "QLIB_SHADOW_TRIAL"
"""The name of the run."""
PATIENCE: Final = 1200.0
"""Seconds to wait for the run, less than `helm test --timeout 30m`, so that the cause is printed."""
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
"""Waiting reasons that need a person to fix something; a full cluster or a quota may pass by itself."""
LASTING_FOR: Final = 120.0
"""Seconds that such a reason must last before the trial gives up: a registry may fail briefly."""
SPEC: Final[Mapping[str, Any]] = {
    "dataset": {
        # A path of its own, so that the trial never replaces the dataset of a real run.
        "path": "/data/qlib/qlib_data/trial",
        "source": {"synthetic": {"symbols": 20, "days": 400}},
    },
    "workflow": {"model": {"num_boost_round": 20}},
}


class TrialApi(Protocol):
    """The calls of kube.cluster.Cluster that the trial uses."""

    def create_run(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create a run."""

    def list_runs(self, namespace: str, **selectors: str) -> list[dict[str, Any]]:
        """Return the runs that match the selectors."""

    def delete_run(self, run: Run) -> None:
        """Delete a run."""


def main(environ: Mapping[str, str], connect: Callable[[], TrialApi], pause: Callable[[], None]) -> ExitCode:
    """Create the run and wait for its end; return the exit code. A failed run is kept for the user."""
    namespace, name = environ.get(ENV_NAMESPACE, ""), environ.get(ENV_NAME, "")
    if not namespace or not name:
        print_error(f"{ENV_NAMESPACE} and {ENV_NAME} must be set: where the run is made, and its name")
        return ExitCode.BAD_CONFIG
    try:
        api = connect()
        api.create_run(namespace, document(namespace, name))
        run = wait(api, namespace, name, pause)
        return final_state(api, run)
    except (ClusterError, NoClusterError) as error:
        print_error(f"the trial run {name}: {error}")
        return ExitCode.TRANSIENT


def document(namespace: str, name: str) -> dict[str, Any]:
    """Return the run manifest."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace, "labels": {LABEL_NAME: APP_NAME}},
        "spec": dict(SPEC),
    }


def wait(api: TrialApi, namespace: str, name: str, pause: Callable[[], None]) -> Run | None:
    """Return the run once it has finished or is stuck, or None if it was deleted. Print each change."""
    told, run, stuck = "", None, 0.0
    for _ in range(int(PATIENCE / PAUSE)):
        found = api.list_runs(namespace, field_selector=f"metadata.name={name}")
        run = parse_run(found[0]) if found else None
        news = progress(run)
        if news != told:
            print_line(f"{name}: {news}")
            told = news
        stuck = stuck + PAUSE if is_stuck(run) else 0.0
        if run is None or run.status.finished or stuck > LASTING_FOR:
            break
        pause()
    return run


def under_way(run: Run) -> StageStatus | None:
    """Return the stage that the run is at."""
    return next((stage for stage in run.status.stages if not stage.finished), None)


def is_stuck(run: Run | None) -> bool:
    """Return whether the run waits for something that a person must fix."""
    stage = under_way(run) if run else None
    return stage is not None and stage.reason in LASTING


def progress(run: Run | None) -> str:
    """Return one line that says how far the run is and what it waits for."""
    if run is None:
        return "the run was deleted"
    if run.status.phase is None:
        return "waiting for the operator to notice it"
    far = f"{run.status.phase} {run.status.summary.get('stage', '')}".strip()
    stage = under_way(run)
    why = " ".join(f"{stage.reason}: {stage.message or ''}".split()) if stage and stage.reason else ""
    return f"{far}: {why}" if why else far


def final_state(api: TrialApi, run: Run | None) -> ExitCode:
    """Print the run's figures and delete it, or print why it failed; return the exit code."""
    if run is None:
        return ExitCode.INTERNAL
    if run.status.is_true(ConditionType.COMPLETE):
        figures = ", ".join(f"{name} {value}" for name, value in run.status.summary.items())
        print_line(f"{run.name}: {figures}; artifacts stay at {run.status.artifact_path}")
        api.delete_run(run)
        return ExitCode.DONE
    print_error(f"{run.name}: {failure_text(run)}")
    return ExitCode.INTERNAL


def failure_text(run: Run) -> str:
    """Return why the run is not complete."""
    failed = run.status.condition(ConditionType.FAILED)
    if failed is not None and failed.status:
        return f"{failed.reason}: {failed.message}"
    if is_stuck(run):
        return f"given up, because this needs a person to fix it: {progress(run)}"
    if run.status.phase is None:
        return f"not finished after {PATIENCE:.0f} s; is the operator running?"
    return f"not finished after {PATIENCE:.0f} s: {progress(run)}"


if __name__ == "__main__":
    sys.exit(main(os.environ, lambda: Cluster.connect(1), lambda: time.sleep(PAUSE)))

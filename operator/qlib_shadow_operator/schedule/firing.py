"""One firing of a schedule: the CronJob's Job, when it was due, and the name of its run.

The CronJob names a Job `<its name>-<minutes since 1970>` after the time that was due, however late it starts;
`kubectl create job --from=cronjob/…` uses other names. So a firing's run has the same name at every retry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_operator.kube.times import write_time
from qlib_shadow_operator.runs.names import (
    ANNOTATION_JOB_UID,
    ANNOTATION_SCHEDULED_FOR,
    APP_NAME,
    LABEL_NAME,
    LABEL_SCHEDULE,
)
from qlib_shadow_runner.contract import API_VERSION, KIND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_operator.schedule.parse_schedule import Schedule

ENV_SCHEDULE: Final = "QLIB_SHADOW_SCHEDULE"
"""The schedule, in YAML."""
ENV_NAMESPACE: Final = "QLIB_SHADOW_NAMESPACE"
ENV_JOB: Final = "QLIB_SHADOW_JOB"
ENV_JOB_UID: Final = "QLIB_SHADOW_JOB_UID"
"""The namespace and the Job of the pod, from its own labels."""


class FiringError(ValueError):
    """The pod lacks a variable; the message names it."""


@dataclass(frozen=True)
class Firing:
    """A Job of a schedule."""

    namespace: str
    job: str
    job_uid: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Firing:
        """Return the firing from the variables that the CronJob sets; see manifests/samples/nightly.yaml."""
        values = [environ.get(name, "") for name in (ENV_NAMESPACE, ENV_JOB, ENV_JOB_UID)]
        if not all(values):
            missing = (ENV_NAMESPACE, ENV_JOB, ENV_JOB_UID)[values.index("")]
            raise FiringError(
                f"{missing} is not set; the CronJob must pass it on from its pod's metadata, "
                "as manifests/samples/nightly.yaml does"
            )
        return cls(*values)

    def due(self, schedule: str) -> datetime | None:
        """Return the time that the CronJob meant; None if a user created the Job."""
        found = re.fullmatch(rf"{re.escape(schedule)}-([1-9][0-9]{{7}})", self.job)
        return datetime.fromtimestamp(int(found[1]) * 60, UTC) if found else None

    def run_name(self, schedule: str) -> str:
        """Return the run's name: after the time, or after the user's Job."""
        due = self.due(schedule)
        return f"{schedule}-{due:%Y%m%d-%H%M}" if due else self.job


def describe(schedule: Schedule, firing: Firing) -> dict[str, Any]:
    """Return the run manifest of a firing."""
    due = write_time(firing.due(schedule.name))
    ours = {ANNOTATION_JOB_UID: firing.job_uid} | ({ANNOTATION_SCHEDULED_FOR: due} if due else {})
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": firing.run_name(schedule.name),
            "namespace": firing.namespace,
            "labels": {LABEL_NAME: APP_NAME, **schedule.labels, LABEL_SCHEDULE: schedule.name},
            "annotations": {**schedule.annotations, **ours},
        },
        "spec": dict(schedule.spec),
    }

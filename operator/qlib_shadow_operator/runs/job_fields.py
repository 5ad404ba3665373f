"""The fields of a stage's Job in the words of the run: what the API server refuses, users write elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract.fields import fields_of
from qlib_shadow_runner.contract.spec.pods import OpenPodSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qlib_shadow_operator.runs.model import Run
    from qlib_shadow_runner.contract import Stage


@dataclass(frozen=True)
class JobField:
    """One field of a Job, and where its value comes from."""

    path: str
    """A regular expression, without "spec.template.", which is not there in a message about a pod."""
    run: str = ""
    """The field of the run's spec; empty where only the installation decides."""
    chart: str = ""
    """The setting of the chart that counts where the run has no value; empty where only the run decides."""
    given: Callable[[Run, Stage], object] = lambda _run, _stage: True
    """Whether the run has a value of its own."""

    def name(self, run: Run, stage: Stage) -> str:
        """Return the field or setting that a user has to change."""
        in_run = bool(self.run) and (not self.chart or bool(self.given(run, stage)))
        return (f"spec.{self.run}" if in_run else f"the chart's {self.chart}").format(stage=stage)


POD: Final = r"(?:spec\.template\.)?spec\."
CONTAINER: Final = rf"{POD}containers\[0\]\."


def _of_the_pod(key: str, path: str = "") -> JobField:
    """Return a field that has the same name in a run's stage and in the chart's `runs`."""
    attribute = next(one.name for one in fields_of(OpenPodSettings) if one.key == key)
    return JobField(
        path or rf"{POD}{key}",
        f"stages.{{stage}}.{key}",
        f"runs.{key}",
        lambda run, stage: getattr(run.spec.stages.of(stage), attribute, None),
    )


IMAGE: Final = JobField(rf"{CONTAINER}image", "image", "runner.image", lambda run, _: run.spec.image)
PULL_SECRETS: Final = JobField(
    rf"{POD}imagePullSecrets",
    "imagePullSecrets",
    "runner.image.pullSecrets",
    lambda run, _: run.spec.image_pull_secrets,
)
CLAIM: Final = JobField(
    rf"{POD}volumes\[0\]\.persistentVolumeClaim\.claimName",
    "storage.claimName",
    "storage.claimName",
    lambda run, _: run.spec.storage.claim_name,
)
PRIORITY_CLASS: Final = _of_the_pod("priorityClassName")
RUNTIME_CLASS: Final = _of_the_pod("runtimeClassName")
SERVICE_ACCOUNT: Final = _of_the_pod("serviceAccountName")
PLACEMENT: Final = tuple(
    _of_the_pod(key) for key in ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints")
)
FIELDS: Final = (
    JobField(
        rf"{CONTAINER}resources",
        "stages.{stage}.resources",
        "runner.stages.{stage}.resources",
        lambda run, stage: run.spec.stages.of(stage).resources,
    ),
    JobField(
        rf"{CONTAINER}imagePullPolicy",
        "imagePullPolicy",
        "runner.image.pullPolicy",
        lambda run, _: run.spec.image_pull_policy,
    ),
    IMAGE,
    JobField(
        rf"{CONTAINER}env\[\d+\]\.valueFrom\.secretKeyRef\.name", "dataset.source.archive.credentialsSecret"
    ),
    JobField(rf"{CONTAINER}env\[\d+\]\.valueFrom\.configMapKeyRef", "workflow.configMapRef"),
    PULL_SECRETS,
    *PLACEMENT,
    *(PRIORITY_CLASS, RUNTIME_CLASS, SERVICE_ACCOUNT),
    *(
        _of_the_pod(key, rf"(?:metadata|spec\.template(?:\.metadata)?)\.{key}")
        for key in ("labels", "annotations")
    ),
    CLAIM,
    JobField(
        rf"{POD}volumes\[[12]\]\.emptyDir\.sizeLimit",
        "stages.{stage}.scratch",
        "runner.workSize",
        lambda run, stage: run.spec.stages.of(stage).scratch,
    ),
    JobField(rf"{POD}volumes\[3\]\.emptyDir\.sizeLimit", chart="runner.sharedMemorySize"),
    JobField(rf"{POD}securityContext\.runAsUser", chart="runner.uid"),
    JobField(rf"{POD}securityContext\.(?:runAsGroup|fsGroup)", chart="runner.gid"),
    JobField(
        r"spec\.activeDeadlineSeconds",
        "stages.{stage}.activeDeadlineSeconds",
        "runner.stages.{stage}.deadlineSeconds",
        lambda run, stage: run.spec.stages.of(stage).active_deadline_seconds,
    ),
    JobField(
        r"spec\.backoffLimit",
        "stages.{stage}.retries",
        "runner.stages.{stage}.retries",
        lambda run, stage: run.spec.stages.of(stage).retries is not None,
    ),
)
"""Every field of a Job whose value a user or the installer chooses; of two that match, the first counts."""
ANY: Final = re.compile(
    rf"(?<![\w.])(?:{'|'.join(f'(?P<field{number}>{one.path})' for number, one in enumerate(FIELDS))})(?!\w)"
)
BY_GROUP: Final[Mapping[str, JobField]] = {f"field{number}": one for number, one in enumerate(FIELDS)}
JOB: Final = re.compile(r'^Job\.batch "[^"]*" is invalid: ')
"""What the API server says first; the user has written no Job."""


def placement_of(run: Run, stage: Stage) -> str:
    """Return who has said where the pod may run: the run adds to what the chart gives to all runs."""
    added = any(one.given(run, stage) for one in PLACEMENT)
    return f"spec.stages.{stage} or the chart's runs" if added else "the chart's runs"


def in_words_of_the_run(detail: str, run: Run, stage: Stage) -> tuple[str, tuple[str, ...]]:
    """Return a message of the API server with the names of the run's fields, and these names."""
    names: dict[str, None] = {}

    def renamed(found: re.Match[str]) -> str:
        name = BY_GROUP[str(found.lastgroup)].name(run, stage)
        names[name] = None
        return name

    return ANY.sub(renamed, JOB.sub("", detail)), tuple(names)

"""Tells pods that outgrew their own local storage from those that the cluster removed.

Kubernetes marks every disruption by the cluster with the condition DisruptionTarget: pressure on the node,
preemption, taints, drains. The kubelet evicts a pod that outgrew its own storage without that condition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import DEFAULT_WORK, ExitCode

if TYPE_CHECKING:
    from qlib_shadow_operator.runs.model import Pod
    from qlib_shadow_runner.contract import Stage

EVICTED: Final = "Evicted"
"""The kubelet's reason for every pod that it evicts."""
OF_THE_NODE: Final = re.compile(r"(Pod was rejected: )?The node (was low on|had condition)")
"""How a kubelet's message about the state of its node begins."""
VOLUME: Final = re.compile(r'EmptyDir volume "(?P<name>[^"]+)" exceeds the limit "(?P<limit>[^"]+)"')
EPHEMERAL: Final = re.compile(r'(total limit of containers |storage limit ")(?P<limit>[0-9][0-9.]*[A-Za-z]*)')
SCRATCH_FOLDERS: Final = {"work": DEFAULT_WORK, "tmp": "/tmp"}  # noqa: S108 - in the container


@dataclass(frozen=True)
class Outgrown:
    """The local storage that a pod has outgrown."""

    what: str
    limit: str
    """Empty if the kubelet does not say."""
    field: str
    """The field of the run that raises the limit."""


def outgrown(pod: Pod, stage: Stage) -> Outgrown | None:
    """Return the storage that the pod was evicted for having outgrown, or None."""
    if pod.reason != EVICTED or pod.disruption or OF_THE_NODE.match(pod.message):
        return None
    scratch, ephemeral = f"stages.{stage}.scratch", f"stages.{stage}.resources.limits.ephemeral-storage"
    if found := VOLUME.search(pod.message):
        folder = SCRATCH_FOLDERS.get(found["name"], found["name"])
        return Outgrown(f"scratch space in {folder}", found["limit"], scratch)
    told = EPHEMERAL.search(pod.message)
    return Outgrown("local storage for scratch files and logs", told["limit"] if told else "", ephemeral)


def is_ignored_by_its_job(pod: Pod, stage: Stage) -> bool:
    """Return whether the pod outgrew its storage, and its Job takes it for one that was deleted.

    Both get SIGTERM, and a podFailurePolicy sees only exit codes and conditions.
    """
    end = pod.termination
    return end is not None and end.exit_code == ExitCode.INTERRUPTED and outgrown(pod, stage) is not None

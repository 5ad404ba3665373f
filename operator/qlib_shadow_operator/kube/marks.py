"""The labels and the owner that mark a Job as a run's, and what is missing of them after an edit by hand.

The watch selects Jobs by their labels, and the cache assigns them by their owner: without them a Job is out
of sight although it works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_operator.runs.names import GROUP, LABEL_OUT_OF_SIGHT, LABEL_QUEUE, LABEL_RUN_UID

if TYPE_CHECKING:
    from collections.abc import Mapping

Document = dict[str, Any]
OWN_LABELS: Final = (f"{GROUP}/", "app.kubernetes.io/")
"""How the labels begin that no run can choose."""


def belongs_to(job: Mapping[str, Any], run_uid: str) -> bool:
    """Return whether a Job is the run's: by its owner, or else by its template, which cannot change."""
    owners = [one.get("uid") for one in job["metadata"].get("ownerReferences") or () if one.get("controller")]
    return owners == [run_uid] or (not owners and _template_labels(job).get(LABEL_RUN_UID) == run_uid)


def _template_labels(job: Mapping[str, Any]) -> Mapping[str, str]:
    template = (job.get("spec") or {}).get("template") or {}
    return (template.get("metadata") or {}).get("labels") or {}


def missing_marks(job: Mapping[str, Any], wanted: Mapping[str, Any]) -> Document:
    """Return the change of a Job's metadata that gives it back its marks; empty if it has them."""
    there, told = job["metadata"], wanted["metadata"]
    labels, owners = there.get("labels") or {}, there.get("ownerReferences") or []
    lost = {name: value for name, value in told["labels"].items() if labels.get(name) != value}
    if LABEL_QUEUE in labels or not job["spec"].get("suspend"):
        lost.pop(
            LABEL_QUEUE, None
        )  # another queue is a user's choice, and Kueue lets no admitted Job change it
    change: Document = {"labels": lost} if lost else {}
    if not any(one.get("controller") for one in owners):
        change["ownerReferences"] = [*owners, *told["ownerReferences"]]
    # The list of owners replaces the one that was read, so it must not have changed meanwhile.
    return change and change | {"resourceVersion": there["resourceVersion"]}


def job_with_marks(job: Document) -> Document:
    """Return a Job as it is, or as one whose labels or owner were removed; its template cannot change."""
    meta = job["metadata"]
    wanted = {name: value for name, value in _template_labels(job).items() if name.startswith(OWN_LABELS)}
    labels, owners = meta.get("labels") or {}, meta.get("ownerReferences") or []
    if wanted.items() <= labels.items() and any(one.get("controller") for one in owners):
        return job
    owner = {"uid": wanted.get(LABEL_RUN_UID), "controller": True}
    marks = {"labels": {**labels, **wanted, LABEL_OUT_OF_SIGHT: "true"}, "ownerReferences": [*owners, owner]}
    return {**job, "metadata": {**meta, **marks}}


def with_marks(pod: Document, wanted: Mapping[str, str]) -> Document:
    """Return a pod as it is, or as one whose labels were removed; the operator may not change pods."""
    labels = pod["metadata"].get("labels") or {}
    if wanted.items() <= labels.items():
        return pod
    marks = {**labels, **wanted, LABEL_OUT_OF_SIGHT: "true"}
    return {**pod, "metadata": {**pod["metadata"], "labels": marks}}

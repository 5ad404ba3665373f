"""The sentences about a stage that cannot start: what the API server, the namespace or the node refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_operator.runs.reasons import sentences

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qlib_shadow_runner.contract import Stage


def job_rejected(stage: Stage, detail: str, fields: Sequence[str]) -> str:
    """Say that the API server refused the Job, because of these fields of the run or the chart."""
    what = " and ".join(fields) or "what it names, in the run or in the namespace's policies"
    return sentences(f"the API server refuses the Job of stage {stage}: {detail}", f"Correct {what}")


def job_not_created(stage: Stage, detail: str) -> str:
    """Say that the API server, or a webhook that it asks, does not work now."""
    return sentences(
        f"the API server cannot create the Job of stage {stage} now: {detail}",
        "See that the API server works, and the program behind a webhook that it names",
    )


def job_not_changed(stage: Stage, detail: str) -> str:
    """Say that a Job that is there can be neither suspended nor resumed."""
    return sentences(
        f"the API server does not suspend or resume the Job of stage {stage}: {detail}",
        "See that the policy or the webhook that it names works, and lets the operator change the Job",
    )


def job_name_taken(job: str) -> str:
    """Say that a Job of another owner has the name."""
    return f'a Job named "{job}" exists and does not belong to this run. Delete it, or rename the run'


def pod_refused(stage: Stage, namespace: str, detail: str) -> str:
    """Say that the namespace does not admit the pod."""
    return sentences(
        f'namespace "{namespace}" does not admit the pod: {detail}',
        "Change its Pod Security labels, its LimitRange or its admission policy, or what the run asks for in "
        f"stages.{stage}",
    )


def object_missing(stage: Stage, detail: str, field: str) -> str:
    """Say that the pod names a class or an account that does not exist."""
    return sentences(
        f"the pod of stage {stage} names what does not exist: {detail}", f"Create it, or correct {field}"
    )


def volume_not_mounted(claim: str, namespace: str, detail: str) -> str:
    """Say that the node cannot attach or mount the volume."""
    return sentences(
        f'the volume behind the PersistentVolumeClaim "{claim}" cannot be mounted: {detail}',
        "Correct the volume, or wait until another node releases it. "
        f"See: kubectl describe pvc -n {namespace} {claim}",
    )


def image_unavailable(
    image: str, namespace: str, secrets: Iterable[str], detail: str, fields: tuple[str, str]
) -> str:
    """Say that the node cannot pull the image; it does not say whether a Secret that is named is missing.

    The fields are those of the image and of the Secrets for registries.
    """
    named = " and ".join(f'"{one}"' for one in secrets)
    credentials = (
        f'see that the Secret {named} is in namespace "{namespace}" and may read the registry'
        if named
        else f"name the registry's credentials in {fields[1]}"
    )
    return sentences(
        f'the image "{image}" cannot be pulled: {detail}', f"Correct {fields[0]}, or {credentials}"
    )


def container_cannot_start(detail: str, remedy: str) -> str:
    """Say that the node has the image but cannot start the container."""
    return sentences(f"the container cannot be started: {detail}", remedy)


def wrong_image(image_field: str) -> str:
    """Say what to do about an image without a runner for the node."""
    return f"Set {image_field} to a qlib-runner that is made for the node's processor"


def describe_pod(pod: str, namespace: str) -> str:
    """Say where to look where nothing more is known."""
    return f"See: kubectl describe pod -n {namespace} {pod}"


def memory_too_small(stage: Stage, limit: str | None) -> str:
    """Say that the container was killed before its process ran."""
    of = f" of {limit}" if limit else ""
    return (
        f"stage {stage} was killed before it began: its memory limit{of} is too small to start a process. "
        f"Raise stages.{stage}.resources.limits.memory, or leave stages.{stage}.resources out for the "
        "operator's default"
    )


def template_missing(name: str, key: str, namespace: str, detail: str) -> str:
    """Say that the user's own template is not where the spec says."""
    return sentences(
        f'the workflow template is entry "{key}" of ConfigMap "{name}" in namespace "{namespace}": {detail}',
        "Create it there, or correct workflow.configMapRef",
    )


def starting_slowly(pod: str, namespace: str) -> str:
    """Say that the pod has a node, and that no Event tells what it waits for."""
    return sentences(
        "the pod has a node but its container does not start; its volume may not be attached",
        describe_pod(pod, namespace),
    )

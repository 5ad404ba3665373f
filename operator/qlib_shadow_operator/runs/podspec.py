"""The spec of a stage's pod: no token, no root, writing only to the volume and to scratch space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_operator.runs.names import CONTAINER
from qlib_shadow_operator.runs.pods import placement, settings_of
from qlib_shadow_runner.contract import (
    ARTIFACTS,
    DEFAULT_DATA,
    DEFAULT_TERMINATION_LOG,
    DEFAULT_WORK,
    ENV_ARCHIVE_PASSWORD,
    ENV_ARCHIVE_TOKEN,
    ENV_ARCHIVE_USERNAME,
    ENV_DATA,
    ENV_DEADLINE_SECONDS,
    ENV_FEATURES_CACHE_BYTES,
    ENV_IMAGE,
    ENV_REQUEST,
    ENV_TEMPLATE,
    ENV_TERMINATION_LOG,
    ENV_WORK,
    LEDGERS,
    Stage,
    artifact_path,
)
from qlib_shadow_runner.contract.stages import STAGES, Access

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Run

TERMINATION_GRACE_SECONDS: Final = 30
RECOVERY_RESOURCES: Final = {
    "requests": {"cpu": "50m", "memory": "64Mi"},
    "limits": {"memory": "256Mi"},
}
SECRET_KEYS: Final = {
    "token": ENV_ARCHIVE_TOKEN,
    "username": ENV_ARCHIVE_USERNAME,
    "password": ENV_ARCHIVE_PASSWORD,
}
"""Keys of an archive's Secret; the runner checks which of them must exist."""
BOOKS: Final = f"{ARTIFACTS}/{LEDGERS}"
"""The folder of all books, relative to the volume."""
VOLUME_DATA: Final = "data"
VOLUME_WORK: Final = "work"
VOLUME_TMP: Final = "tmp"
VOLUME_SHM: Final = "shm"


def build(
    run: Run,
    stage: Stage,
    defaults: Defaults,
    request: str,
    resolved_dataset: str | None,
    *,
    has_books: bool = False,
) -> dict[str, Any]:
    """Return the pod's spec, within the "restricted" Pod Security Standard."""
    made = container(run, stage, defaults, request, mounts(run, stage, resolved_dataset, has_books=has_books))
    pod = _pod(run, stage, defaults, made)
    account = settings_of(run, stage, defaults.pods).service_account_name
    return pod | ({"serviceAccountName": account} if account else {})


def build_recovery_pod(run: Run, stage: Stage, defaults: Defaults, request: str) -> dict[str, Any]:
    """Return the spec of a pod that only reads a stage's result, without what the stage itself needs.

    It has the whole volume read-only.
    """
    image = run.spec.image or defaults.image
    volume, *scratch = own_mounts()
    told = {
        **container(run, stage, defaults, request, [{**volume, "readOnly": True}, *scratch]),
        "args": ["stage", str(stage), "--report"],
        "env": environment(image, defaults, request),
        "resources": RECOVERY_RESOURCES,
    }
    return _pod(run, stage, defaults, told)


def _pod(run: Run, stage: Stage, defaults: Defaults, container: dict[str, Any]) -> dict[str, Any]:
    secrets = [one.name for one in run.spec.image_pull_secrets] or defaults.image_pull_secrets
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Process 1 ignores SIGTERM until it has a handler: a pod deleted while Python starts would be killed
        # after the grace period and counted as a failed attempt. So the pause process is process 1.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "securityContext": pod_security(defaults),
        "containers": [container],
        "volumes": volumes(run, stage, defaults),
    }
    pull = {"imagePullSecrets": [{"name": name} for name in secrets]} if secrets else {}
    return spec | pull | placement(settings_of(run, stage, defaults.pods))


def pod_security(defaults: Defaults) -> dict[str, Any]:
    """Return a security context that runs as the owner of the volume, never as root."""
    return {
        "runAsNonRoot": True,
        "runAsUser": defaults.uid,
        "runAsGroup": defaults.gid,
        "fsGroup": defaults.gid,
        # A chown of every file at every start would cost minutes on a full volume.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container(
    run: Run, stage: Stage, defaults: Defaults, request: str, volume_mounts: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the pod's only container."""
    row = STAGES[stage]
    image = run.spec.image or defaults.image
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": run.spec.image_pull_policy or defaults.image_pull_policy,
        "args": ["stage", str(stage)],
        "env": [
            *environment(image, defaults, request),
            *proxies(stage, defaults),
            *literal(settings_of(run, stage, defaults.pods).env),
            *(
                one
                for one in of_some_stages(run, stage, defaults)
                if one["name"] in row.secrets | row.variables
            ),
        ],
        "resources": dict(run.spec.stages.of(stage).resources or defaults.stage(stage).resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": DEFAULT_TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": volume_mounts,
    }


def environment(image: str, defaults: Defaults, request: str) -> list[dict[str, str]]:
    """Return the variables that give the runner its request and paths."""
    values = {
        ENV_REQUEST: request,
        ENV_DATA: DEFAULT_DATA,
        ENV_WORK: DEFAULT_WORK,
        ENV_TERMINATION_LOG: DEFAULT_TERMINATION_LOG,
        ENV_IMAGE: image,
        "TZ": defaults.time_zone,
    }
    return literal(values)


def literal(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Return variables with "$" escaped as "$$", because the kubelet expands "$(X)" in values."""
    return [{"name": name, "value": value.replace("$", "$$")} for name, value in values.items()]


def proxies(stage: Stage, defaults: Defaults) -> list[dict[str, str]]:
    """Return the proxy variables of a stage that has a network."""
    return [] if STAGES[stage].is_closed else literal(defaults.proxies)


def of_some_stages(run: Run, stage: Stage, defaults: Defaults) -> list[dict[str, Any]]:
    """Return the variables that only some stages get, by the table of stages."""
    told = defaults.features_cache_bytes
    limits = {ENV_FEATURES_CACHE_BYTES: told} if told else {}
    limits[ENV_DEADLINE_SECONDS] = str(active_deadline_seconds(run, stage, defaults))
    return [*literal(limits), *credentials(run), *template(run)]


def active_deadline_seconds(run: Run, stage: Stage, defaults: Defaults) -> int:
    """Return a stage's time limit, all attempts together."""
    return run.spec.stages.of(stage).active_deadline_seconds or defaults.stage(stage).active_deadline_seconds


def credentials(run: Run) -> list[dict[str, Any]]:
    """Return references to the archive's Secret; the kubelet reads it, the operator never does."""
    secret = run.credentials_secret
    if not secret:
        return []
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": True}}}
        for key, name in SECRET_KEYS.items()
    ]


def template(run: Run) -> list[dict[str, Any]]:
    """Return a reference to the user's template; the kubelet reads the ConfigMap, the operator never does."""
    found = run.spec.workflow.config_map
    if not found:
        return []
    reference = {"name": found.name, "key": found.key}
    return [{"name": ENV_TEMPLATE, "valueFrom": {"configMapKeyRef": reference}}]


def own_mounts() -> list[dict[str, Any]]:
    """Return the mounts that each stage has: the volume, and scratch space."""
    return [
        {"name": VOLUME_DATA, "mountPath": DEFAULT_DATA},
        {"name": VOLUME_WORK, "mountPath": DEFAULT_WORK},
        {"name": VOLUME_TMP, "mountPath": "/tmp"},  # noqa: S108 - in the container
        {"name": VOLUME_SHM, "mountPath": "/dev/shm"},  # noqa: S108 - in the container
    ]


def mounts(
    run: Run, stage: Stage, resolved_dataset: str | None, *, has_books: bool = False
) -> list[dict[str, Any]]:
    """Return the mounts: the volume, and over it, read-only, dataset and books that a stage only reads.

    Where the folder of all books may not be there, the kubelet would make it, and the folders above it, as
    root. So a run without a ledger, and a first stage, have it read-only only once there is a book.
    """
    found = own_mounts()
    if STAGES[stage].dataset is Access.READ_ONLY and resolved_dataset:
        # The resolved version's folder, because the dataset's name is a link, which a subPath must not be.
        inside = resolved_dataset.removeprefix(DEFAULT_DATA).strip("/")
        found.append(
            {"name": VOLUME_DATA, "mountPath": resolved_dataset, "subPath": inside, "readOnly": True}
        )
    of_books = STAGES[stage].ledgers
    is_made = any(STAGES[one].ledgers is Access.WRITTEN for one in run.stages)
    if of_books is not Access.WRITTEN and (has_books or (of_books is Access.READ_ONLY and is_made)):
        found.append(
            {"name": VOLUME_DATA, "mountPath": artifact_path(LEDGERS), "subPath": BOOKS, "readOnly": True}
        )
    return found


def volumes(run: Run, stage: Stage, defaults: Defaults) -> list[dict[str, Any]]:
    """Return the claim, and scratch volumes that are deleted with the pod."""
    claim = run.spec.storage.claim_name or defaults.claim_name
    scratch = run.spec.stages.of(stage).scratch or defaults.work_size
    return [
        {"name": VOLUME_DATA, "persistentVolumeClaim": {"claimName": claim}},
        {"name": VOLUME_WORK, "emptyDir": {"sizeLimit": scratch}},
        {"name": VOLUME_TMP, "emptyDir": {"sizeLimit": scratch}},
        {"name": VOLUME_SHM, "emptyDir": {"medium": "Memory", "sizeLimit": defaults.shared_memory_size}},
    ]

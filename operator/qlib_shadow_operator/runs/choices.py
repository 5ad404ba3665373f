"""What a run chooses beside the operator's defaults, and the sentence where it may not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from qlib_shadow_operator.runs.allowed import ALL, covers
from qlib_shadow_operator.runs.reasons import not_allowed
from qlib_shadow_runner.contract.spec.pods import OpenPodSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from qlib_shadow_operator.runs.allowed import Allowed
    from qlib_shadow_operator.runs.defaults import Defaults
    from qlib_shadow_operator.runs.model import Run
    from qlib_shadow_runner.contract.spec.pods import PodSettings


@dataclass(frozen=True)
class Chosen:
    """A value that a run has chosen, and the setting that decides about it."""

    where: str
    value: str
    setting: str
    allowed: tuple[str, ...]
    """The entries of the setting, and the operator's own defaults."""

    @property
    def is_allowed(self) -> bool:
        """Return whether the run may have it."""
        return covers(self.allowed, self.value)


def refusal(run: Run, defaults: Defaults) -> str | None:
    """Return the sentence about the first thing that the run may not choose, or None."""
    found = next((one for one in choices(run, defaults) if not one.is_allowed), None)
    if found:
        return not_allowed(found.where, found.value, found.allowed, found.setting)
    return _refused_secret(run, defaults)


def choices(run: Run, defaults: Defaults) -> Iterator[Chosen]:
    """Yield everything that a run has chosen besides the archive's Secret."""
    spec, allowed = run.spec, defaults.allowed
    if spec.image:
        yield Chosen("spec.image", spec.image, "images", (defaults.image, *allowed.images))
    if spec.storage.claim_name:
        entries = (defaults.claim_name, *allowed.claims)
        yield Chosen("spec.storage.claimName", spec.storage.claim_name, "claims", entries)
    for secret in spec.image_pull_secrets:
        entries = (*defaults.image_pull_secrets, *allowed.pull_secrets)
        yield Chosen("spec.imagePullSecrets", secret.name, "pullSecrets", entries)
    for stage in run.stages:
        yield from _choices_of_pod(f"spec.stages.{stage}", spec.stages.of(stage), allowed)


def _choices_of_pod(where: str, pod: PodSettings, allowed: Allowed) -> Iterator[Chosen]:
    def of(
        field: str, setting: str, entries: tuple[str, ...], values: Iterable[str | None]
    ) -> Iterator[Chosen]:
        return (Chosen(f"{where}.{field}", one, setting, entries) for one in values if one)

    nodes, spread = ("nodeLabels", allowed.node_labels), pod.topology_spread_constraints
    taints = (one.get("key") or ALL for one in pod.tolerations)
    yield from of("nodeSelector", *nodes, pod.node_selector)
    yield from of("affinity", *nodes, _node_labels_of(pod.affinity))
    yield from of("topologySpreadConstraints", *nodes, _node_labels({"constraints": spread}))
    yield from of("tolerations", "tolerations", allowed.tolerations, taints)
    yield from of("priorityClassName", "priorityClasses", allowed.priority_classes, [pod.priority_class_name])
    yield from of("runtimeClassName", "runtimeClasses", allowed.runtime_classes, [pod.runtime_class_name])
    yield from of("labels", "labels", allowed.labels, pod.labels)
    yield from of("annotations", "annotations", allowed.annotations, pod.annotations)
    if isinstance(pod, OpenPodSettings):
        accounts = ("serviceAccounts", allowed.service_accounts)
        yield from of("serviceAccountName", *accounts, [pod.service_account_name])
        yield from of("env", "env", allowed.env, pod.env)


def _node_labels_of(affinity: Mapping[str, Any] | None) -> Iterable[str]:
    """Return the keys of an affinity; one that names none is about every node."""
    return tuple(_node_labels(affinity)) or (ALL,) if affinity else ()


def _node_labels(placement: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of node labels anywhere in an affinity; the labels of pods do not count."""
    for name, value in placement.items():
        if name == "topologyKey":
            yield str(value)
        elif name == "matchExpressions":
            yield from (str(one.get("key")) for one in value)
        elif name != "labelSelector":
            for one in value if isinstance(value, list | tuple) else [value]:
                if isinstance(one, dict):
                    yield from _node_labels(one)


def _refused_secret(run: Run, defaults: Defaults) -> str | None:
    secret, address = run.credentials_secret, run.archive_url
    if not secret or not address:
        return None
    where, allowed = "spec.dataset.source.archive.credentialsSecret", defaults.allowed
    if not any(one.covers(secret, address) for one in allowed.secrets):
        pairs = tuple(f"{one.name} for {one.url}" for one in allowed.secrets)
        return not_allowed(where, f"{secret} for {_host(address)}", pairs, "secrets")
    # The program in the pod reads the Secret, so an image that anyone may choose would read it, too.
    images = (defaults.image, *(one for one in allowed.images if one != ALL))
    if run.spec.image and not covers(images, run.spec.image):
        return not_allowed("spec.image", f"{run.spec.image} beside a credentialsSecret", images, "images")
    return None


def _host(address: str) -> str:
    """Return an address without its path and query, which may hold a signature."""
    try:
        parts = urlsplit(address)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    except ValueError:
        return "an address that is none"

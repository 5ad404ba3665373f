"""Many finished runs: copies of one that the operator has really finished, with its Jobs and pods.

Only names and uids differ. The Job controller is stopped meanwhile, or it would process each Job that is
about to be marked done; kwok simulates the pods.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from kubernetes import client
from tests.bench.operator_cost.bench_cluster import NAMESPACE
from tests.bench.operator_cost.floor import JOBS
from tests.bench.operator_cost.loads import HANDS, PATIENCE, make, paced
from tests.bench.operator_cost.operator_process import operator

from qlib_shadow_operator.runs.names import GROUP, LABEL_RUN_UID, PLURAL, UID_CHARACTERS, VERSION
from testcluster.waiting import wait_for

if TYPE_CHECKING:
    from tests.bench.operator_cost.bench_cluster import Place

    Document = dict[str, Any]

CONTROLLER: Final = "kube-controller-manager"
OF_THE_API_SERVER: Final = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")
OF_JOBS: Final = (
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "job-name",
)
RUNS: Final = {"group": GROUP, "version": VERSION, "namespace": NAMESPACE, "plural": PLURAL}


def fill(place: Place, load: str, count: int) -> None:
    """Create this many more finished runs."""
    if count <= 0:
        return
    with operator(place):
        make(place, load, 1)
    copies = Copies(place, load)
    place.cluster.kill(CONTROLLER)
    try:
        paced(count - 1, None, copies.make)
        wait_for(lambda: copies.ended() == 2 * (count - 1), PATIENCE + count, "the pods of the copies to end")
    finally:
        place.cluster.start(CONTROLLER)


class Copies:
    """Creates copies of the first run of a load."""

    def __init__(self, place: Place, load: str) -> None:
        """Read the objects to copy."""
        self.cluster, self.load = place.cluster, load
        self.objects = place.api("person", HANDS).objects
        self.pods: Any = client.CoreV1Api(self.objects.api_client)
        self.run = self.cluster.get(PLURAL, f"{load}-0000", f"--namespace={NAMESPACE}")
        self.children = {kind: self._children(kind) for kind in ("jobs", "pods")}

    def _children(self, kind: str) -> list[Document]:
        uid = self.run["metadata"]["uid"]
        found: list[Document] = self.cluster.get(
            kind, f"--selector={LABEL_RUN_UID}={uid}", f"--namespace={NAMESPACE}"
        )["items"]
        return found

    def make(self, number: int) -> None:
        """Create one whole copy."""
        names = {self.run["metadata"]["name"]: f"{self.load}-copy-{number:04}"}
        run = self._finished(RUNS, self.run, names)
        self._rename(names, self.run, run)
        for job in self.children["jobs"]:
            done = self._finished(JOBS, job, names)
            self._rename(names, job, done)
        for pod in self.children["pods"]:
            self.pods.create_namespaced_pod(NAMESPACE, copied(pod, names))

    @staticmethod
    def _rename(names: dict[str, str], old: Document, new: Document) -> None:
        before, after = old["metadata"]["uid"], new["metadata"]["uid"]
        names |= {before: after, before[:UID_CHARACTERS]: after[:UID_CHARACTERS]}

    def _finished(self, kind: dict[str, str], document: Document, names: dict[str, str]) -> Document:
        """Create an object, then its status, which creation ignores."""
        body = copied(document, names)
        status = body.pop("status")
        made: Document = self.objects.create_namespaced_custom_object(**kind, body=body)
        done: Document = self.objects.replace_namespaced_custom_object_status(
            **kind, name=made["metadata"]["name"], body=made | {"status": status}
        )
        return done

    def ended(self) -> int:
        """Return the number of copied pods that have ended."""
        shown = self.cluster.kubectl(
            "get",
            "pods",
            f"--namespace={NAMESPACE}",
            "--field-selector=status.phase=Succeeded",
            "--output=name",
        )
        return shown.count(f"/{self.load}-copy-")


def copied(document: Document, names: dict[str, str]) -> Document:
    """Return a document with other names, without the fields that the API server adds."""
    text = json.dumps(document)
    for old, new in names.items():
        text = text.replace(old, new)
    copy: Document = json.loads(text)
    for field in OF_THE_API_SERVER:
        copy["metadata"].pop(field, None)
    if copy["kind"] == "Job":
        del copy["spec"]["selector"]
        for labels in (copy["metadata"]["labels"], copy["spec"]["template"]["metadata"]["labels"]):
            for label in OF_JOBS:
                labels.pop(label, None)
    return copy

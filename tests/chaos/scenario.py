"""The namespace of a chaos test, its runs, and what must hold at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from testcluster import PATIENCE, TestClusterError, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from testcluster import Cluster

Document = dict[str, Any]
STAGES = ("download", "qrun")


@dataclass
class Theatre:
    """A namespace and its runs."""

    cluster: Cluster
    namespace: str

    @property
    def kubeconfig(self) -> Path:
        """Return the cluster's kubeconfig."""
        return self.cluster.kubeconfig

    def apply(self, *names: str, **more: Any) -> None:
        """Apply runs as a user does."""
        question = {"dataset": {"source": {"synthetic": {}}}, "workflow": {"template": "lightgbm-alpha158"}}
        spec = question | more
        kind = {"apiVersion": "qlibshadow.io/v1alpha1", "kind": "QlibShadowRun"}
        runs = [{**kind, "metadata": {"name": name}, "spec": spec} for name in names]
        self.cluster.apply(*runs, namespace=self.namespace)

    def list(self, kind: str) -> list[Document]:
        """Return the objects of a kind."""
        found: list[Document] = self.cluster.get(kind, f"--namespace={self.namespace}").get("items", [])
        return found

    def has_begun(self, name: str) -> bool:
        """Return whether an operator has reconciled a run."""
        found = self.cluster.get("qsr", name, f"--namespace={self.namespace}")
        return bool(found.get("status", {}).get("startTime"))

    def wait_for_all(self, timeout: float = PATIENCE) -> None:
        """Wait until every run has ended."""

        def all_over() -> bool:
            phases = [run.get("status", {}).get("phase") for run in self.list("qsr")]
            if left := Counter(phase for phase in phases if phase not in {"Complete", "Failed"}):
                raise TestClusterError(f"runs are {dict(left)}")
            return True

        wait_for(all_over, timeout, "all runs to end")

    def check(self, *names: str) -> None:
        """Check that every run is Complete, with one Job and one pod per stage, without repeated Events."""
        runs = {run["metadata"]["name"]: run for run in self.list("qsr")}
        assert set(runs) == set(names)
        for name, run in runs.items():
            assert conditions(run)["Complete"] == "True", f"{name}: {run['status']}"
            assert conditions(run)["Failed"] == "False"
            assert [stage["state"] for stage in run["status"]["stages"]] == ["Succeeded", "Succeeded"]
            assert [stage["attempts"] for stage in run["status"]["stages"]] == [1, 1], (
                f"{name}: {run['status']}"
            )
        self._check_jobs(runs)
        self._check_events()

    def _check_jobs(self, runs: dict[str, Document]) -> None:
        """Check that each stage has one Job, the one in its status, with one pod."""
        expected = Counter((name, stage) for name in runs for stage in STAGES)
        jobs = self.list("jobs")
        assert Counter(map(place, jobs)) == expected
        told = {s["jobUID"] for run in runs.values() for s in run["status"]["stages"]}
        assert {job["metadata"]["uid"] for job in jobs} == told
        assert Counter(map(place, self.list("pods"))) == expected

    def _check_events(self) -> None:
        """Check that no Event is repeated; one may be lost with a killed operator."""
        ours = [e for e in self.list("events.events.k8s.io") if e["regarding"].get("kind") == "QlibShadowRun"]
        told = Counter((e["regarding"]["uid"], e["reason"], e["note"]) for e in ours)
        twice = {key: count for key, count in told.items() if count > 1}
        assert not twice, twice


def conditions(run: Document) -> dict[str, str]:
    """Return the conditions as type → status."""
    return {one["type"]: one["status"] for one in run["status"]["conditions"]}


def place(child: Document) -> tuple[str, str]:
    """Return the run and stage that a Job or Pod belongs to."""
    labels = child["metadata"]["labels"]
    return labels["qlibshadow.io/run"], labels["qlibshadow.io/stage"]

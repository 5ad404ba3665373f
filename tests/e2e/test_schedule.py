"""Schedules on a real cluster: CronJobs of the sample, with exactly the rights of manifests/schedules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from installation import ROOT
from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from installation import Installation
    from testcluster import Cluster
    from testcluster.images import Images

pytestmark = pytest.mark.cluster

SPEC = {"dataset": {"source": {"prices": {"path": "inbox/us_daily.parquet"}}}}


def cronjob(image: str, **changes: Any) -> dict[str, Any]:
    """Return the sample with the image under test and another schedule."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "manifests/samples/nightly.yaml").read_text())
    [container] = found["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    container["image"] = image
    schedule = {"name": "nightly", "run": {"spec": SPEC}, **changes.pop("document", {})}
    container["env"][0]["value"] = json.dumps(schedule)
    found["spec"].update(changes)
    return found


def rights(namespace: str) -> list[dict[str, Any]]:
    """Return the objects of manifests/schedules for a namespace."""
    files = ("serviceaccount", "role", "rolebinding")
    found = [yaml.safe_load((ROOT / f"manifests/schedules/{name}.yaml").read_text()) for name in files]
    found[0]["metadata"]["namespace"] = found[2]["subjects"][0]["namespace"] = namespace
    return found


@dataclass(frozen=True)
class Schedules:
    """A namespace in which CronJobs may create runs, without an operator."""

    cluster: Cluster
    namespace: str
    image: str
    kubeconfig: Path
    """Of the schedules' service account."""

    def kubectl(self, *arguments: str, **kwargs: Any) -> str:
        """Run kubectl in the namespace, as an administrator."""
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, **kwargs)

    def fire(self, job: str, policy: str = "Forbid", **document: Any) -> subprocess.CompletedProcess[str]:
        """Do what a Job's pod does, as its service account."""
        schedule = {"name": "nightly", "concurrencyPolicy": policy, "run": {"spec": SPEC}, **document}
        env = {
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(self.kubeconfig),
            "QLIB_SHADOW_SCHEDULE": json.dumps(schedule),
            "QLIB_SHADOW_NAMESPACE": self.namespace,
            "QLIB_SHADOW_JOB": job,
            "QLIB_SHADOW_JOB_UID": f"uid-{job}",
        }
        command = (sys.executable, "-m", "qlib_shadow_operator.schedule")
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE)

    def finish(self, run: str, condition: str = "Complete") -> None:
        """Finish a run as the operator would."""
        made = {
            "status": "True",
            "reason": "Test",
            "message": "",
            "lastTransitionTime": "2026-11-21T00:00:00Z",
        }
        status = {"phase": condition, "conditions": [{"type": condition, "observedGeneration": 1, **made}]}
        patch = json.dumps({"status": status})
        self.kubectl("patch", "qsr", run, "--subresource=status", "--type=merge", f"--patch={patch}")

    def runs(self) -> list[str]:
        """Return the names of the runs."""
        listed = self.cluster.get("qsr", f"--namespace={self.namespace}").get("items", [])
        return sorted(run["metadata"]["name"] for run in listed)

    def trigger(self, job: str, **changes: Any) -> dict[str, Any]:
        """Apply a suspended CronJob, fire it by hand, and return its pod when it has ended."""
        self.cluster.apply(cronjob(self.image, suspend=True, **changes), namespace=self.namespace)
        self.kubectl("create", "job", "--from=cronjob/nightly", job)
        pods = (f"--selector=batch.kubernetes.io/job-name={job}", f"--namespace={self.namespace}")

        def ended() -> dict[str, Any] | None:
            found = self.cluster.get("pods", *pods).get("items", [])
            over = [pod for pod in found if pod["status"]["phase"] in {"Succeeded", "Failed"}]
            return over[0] if over else None

        pod = wait_for(ended, PATIENCE, f"the pod of {job} to end")
        assert pod is not None
        return pod


def told(pod: dict[str, Any]) -> tuple[int, str]:
    """Return a container's exit code and termination message."""
    end = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return end["exitCode"], end["message"]


def kubeconfig_of(cluster: Cluster, namespace: str, account: str) -> dict[str, Any]:
    """Return a kubeconfig for a service account: the administrator's, with another user."""
    token = cluster.kubectl("create", "token", account, f"--namespace={namespace}").strip()
    found: dict[str, Any] = json.loads(
        cluster.kubectl("config", "view", "--raw", "--flatten", "--minify", "--output=json")
    )
    found["users"][0]["user"] = {"token": token}
    return found


@pytest.fixture
def schedules(installation: Installation, images: Images, namespace: str, tmp_path: Path) -> Schedules:
    """Return a namespace with the rights of schedules and without an operator."""
    cluster = installation.cluster
    cluster.apply(*rights(namespace), namespace=namespace)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(kubeconfig_of(cluster, namespace, "qlib-shadow-schedule")))
    return Schedules(cluster, namespace, images.operator.reference, kubeconfig)


@pytest.fixture
def every_minute(installation: Installation, images: Images) -> Iterator[Installation]:
    """Apply a CronJob that fires at the next full minute, in the operator's namespace."""
    namespace = installation.namespace
    made = [*rights(namespace), cronjob(images.operator.reference, schedule="* * * * *")]
    installation.cluster.apply(*made, namespace=namespace)
    yield installation
    installation.kubectl("delete", "--ignore-not-found", "cronjob/nightly")
    installation.kubectl("delete", "qsr", "--selector=qlibshadow.io/schedule=nightly")


def test_cronjob_creates_a_run_that_the_operator_starts(every_minute: Installation):
    """Named after the time that was due, which the CronJob writes on the Job."""
    cluster, inside = every_minute.cluster, f"--namespace={every_minute.namespace}"

    def first() -> Any:
        runs = cluster.get("qsr", inside, "--selector=qlibshadow.io/schedule=nightly").get("items", [])
        return runs[0] if runs and runs[0].get("status", {}).get("startTime") else None

    run = wait_for(first, PATIENCE, "a run of the schedule to start")
    due = run["metadata"]["annotations"]["qlibshadow.io/scheduled-for"]
    jobs = cluster.get("jobs", inside, "--selector=app.kubernetes.io/component!=download").get("items", [])
    [job] = [
        job
        for job in jobs
        if job["metadata"]["uid"] == run["metadata"]["annotations"]["qlibshadow.io/created-by-job"]
    ]
    assert job["metadata"]["ownerReferences"][0]["name"] == "nightly"
    times = (due, job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"])
    [ours, theirs] = [datetime.fromisoformat(time).astimezone(UTC) for time in times]
    assert ours == theirs
    assert run["metadata"]["name"] == f"nightly-{ours:%Y%m%d-%H%M}"


def test_a_cronjob_can_be_fired_by_hand(schedules: Schedules):
    """In a namespace that admits only restricted pods; the pod says what it did."""
    pod = schedules.trigger("manual-1")
    assert told(pod) == (0, "schedule nightly: created run manual-1")
    assert schedules.runs() == ["manual-1"]
    run = schedules.cluster.get("qsr", "manual-1", f"--namespace={schedules.namespace}")
    assert run["spec"]["series"] == "nightly"


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"concurrencyPolicy": "never"}, 'QLIB_SHADOW_SCHEDULE: concurrencyPolicy is "never"; it must be'),
        (
            {"run": {"spec": {"dataste": {}}}},
            'cannot be handled as a QlibShadowRun: strict decoding error: unknown field "spec.dataste"',
        ),
        (
            {"run": {"spec": {"dataset": {"refresh": "Sometimes"}}}},
            'spec.dataset.refresh: Unsupported value: "Sometimes"',
        ),
    ],
    ids=["schedule", "field", "value"],
)
def test_mistake_fails_at_once_and_is_shown_on_the_pod(
    schedules: Schedules, document: dict[str, Any], sentence: str
):
    """The Job does not retry a permanent error."""
    code, message = told(schedules.trigger("manual-1", document=document))
    assert code == 10
    assert sentence in message
    schedules.kubectl("wait", "--for=condition=Failed", "job/manual-1", f"--timeout={PATIENCE}s")
    assert (
        schedules.cluster.get("job", "manual-1", f"--namespace={schedules.namespace}")["status"]["failed"]
        == 1
    )
    assert schedules.runs() == []


def test_concurrency_policies_on_the_real_api_server(schedules: Schedules):
    """Forbid skips and reports, Replace deletes and creates, Allow creates; each as the service account."""
    assert schedules.fire("one").returncode == 0
    again = schedules.fire("one")
    assert (again.returncode, again.stdout) == (0, "schedule nightly: run one exists already\n")
    skipped = schedules.fire("two")
    assert (skipped.returncode, skipped.stderr) == (0, "")
    assert skipped.stdout == (
        "schedule nightly: run two was skipped: one of schedule nightly is not finished (Pending), "
        "and concurrencyPolicy is Forbid\n"
    )
    assert "ScheduleSkipped" in schedules.kubectl("describe", "qsr", "one")
    assert schedules.fire("three", "Allow").returncode == 0
    assert schedules.runs() == ["one", "three"]
    replaced = schedules.fire("four", "Replace")
    assert "deleted three, one, not finished" in replaced.stdout
    assert schedules.runs() == ["four"]


def test_history_is_pruned_on_the_real_api_server(schedules: Schedules):
    """The oldest are deleted first, and only finished ones of this schedule."""
    for name in ("a", "b", "c"):
        assert schedules.fire(name, keepFinished=9).returncode == 0
        schedules.finish(name, "Failed" if name == "b" else "Complete")
    run = {"apiVersion": "qlibshadow.io/v1alpha1", "kind": "QlibShadowRun", "spec": {}}
    schedules.cluster.apply(run | {"metadata": {"name": "by-hand"}}, namespace=schedules.namespace)
    schedules.finish("by-hand")
    done = schedules.fire("d", keepFinished=1)
    assert done.returncode == 0
    assert schedules.runs() == ["by-hand", "c", "d"]


def test_taken_name_is_refused_on_the_real_api_server(schedules: Schedules):
    """A user's run is never mistaken for the schedule's."""
    run = {"apiVersion": "qlibshadow.io/v1alpha1", "kind": "QlibShadowRun", "spec": {}}
    schedules.cluster.apply(run | {"metadata": {"name": "mine"}}, namespace=schedules.namespace)
    done = schedules.fire("mine")
    assert done.returncode == 10
    assert done.stderr == (
        "schedule nightly: a run mine exists already and is not of this schedule; "
        "delete or rename one of them\n"
    )


def test_schedule_without_rights_says_what_it_lacks(schedules: Schedules):
    """For example if only the CronJob was applied."""
    schedules.kubectl("delete", "rolebinding", "qlib-shadow-schedule")

    def refused() -> bool:
        return schedules.fire("one").returncode == 13

    wait_for(refused, PATIENCE, "the API server to notice")
    assert "cannot list resource" in schedules.fire("one").stderr


def test_unknown_time_zone_is_refused_when_applied(schedules: Schedules):
    """By the API server, not at the scheduled time."""
    with pytest.raises(Exception, match="unknown time zone America/New_Yorck"):
        schedules.cluster.apply(
            cronjob(schedules.image, timeZone="America/New_Yorck"), namespace=schedules.namespace
        )

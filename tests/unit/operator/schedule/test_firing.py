"""A firing: one run however often it is retried, concurrency policies, and pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.operator.schedule.fake_runs import ENVIRON, MINUTES, FakeRuns

from qlib_shadow_operator.kube.cluster import ClusterError, ConflictError, NoClusterError, RefusedError
from qlib_shadow_operator.schedule.__main__ import main
from qlib_shadow_runner.contract import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

NAME = "nightly-20261116-2301"
BEFORE = "nightly-20261115-2301"


@pytest.fixture
def api() -> FakeRuns:
    """Return an API server without runs."""
    return FakeRuns()


def fire(api: FakeRuns, policy: str | None = None, keep: int | None = None, **environ: str) -> int:
    """Carry out a firing once."""
    words = [f"concurrencyPolicy: {policy}"] * bool(policy) + [f"keepFinished: {keep}"] * (keep is not None)
    text = "{" + ", ".join(["name: nightly", *words, "run: {spec: {dataset: {maxAgeDays: 4}}}"]) + "}"
    return main({**ENVIRON, "QLIB_SHADOW_SCHEDULE": text, **environ}, lambda: api)


def test_run_is_named_after_the_due_time(api: FakeRuns, capsys: pytest.CaptureFixture[str]):
    """It records the schedule and the Job that created it."""
    assert fire(api) == ExitCode.DONE
    run = api.runs[NAME]
    assert run["spec"] == {"dataset": {"maxAgeDays": 4}, "series": "nightly"}
    assert run["metadata"]["labels"] == {
        "app.kubernetes.io/name": "qlib-shadow",
        "qlibshadow.io/schedule": "nightly",
    }
    assert run["metadata"]["annotations"] == {
        "qlibshadow.io/scheduled-for": "2026-11-16T23:01:00Z",
        "qlibshadow.io/created-by-job": "job-1",
    }
    assert capsys.readouterr().out == f"schedule nightly: created run {NAME}\n"


@pytest.mark.parametrize("job", ["manual-1", f"other-{MINUTES}", "nightly-1", "nightly-123456789"])
def test_run_of_a_manual_job_has_the_jobs_name(api: FakeRuns, job: str):
    """`kubectl create job --from=cronjob/nightly manual-1`."""
    assert fire(api, QLIB_SHADOW_JOB=job) == ExitCode.DONE
    assert "qlibshadow.io/scheduled-for" not in api.runs[job]["metadata"]["annotations"]


@pytest.mark.parametrize("policy", ["Allow", "Forbid", "Replace"])
@pytest.mark.parametrize("job", [f"nightly-{MINUTES}", "manual-1"])
def test_retry_creates_no_second_run(api: FakeRuns, policy: str, job: str):
    """The pod died after the API server had created the run: that run must not block the retry."""
    api.faults["create"] = ClusterError("the API server does not answer")
    assert fire(api, policy, QLIB_SHADOW_JOB=job) == ExitCode.TRANSIENT
    assert fire(api, policy, QLIB_SHADOW_JOB=job) == ExitCode.DONE
    assert len(api.runs) == 1
    assert not [call for call in api.calls if call.startswith("delete")]


def test_another_job_for_the_same_time_creates_no_second_run(
    api: FakeRuns, capsys: pytest.CaptureFixture[str]
):
    """The CronJob's Job was deleted and recreated."""
    fire(api)
    assert fire(api, QLIB_SHADOW_JOB_UID="job-2") == ExitCode.DONE
    assert capsys.readouterr().out.endswith(f"run {NAME} exists already\n")
    assert len(api.runs) == 1


def test_name_taken_meanwhile_is_checked(api: FakeRuns):
    """Two Jobs at once: the other one created the run after our list."""
    fire(api)
    made, listed = dict(api.runs), api.list_runs
    api.list_runs = lambda namespace, **by: [] if "label_selector" in by else listed(namespace, **by)  # type: ignore[method-assign]
    assert fire(api, QLIB_SHADOW_JOB_UID="job-2") == ExitCode.DONE
    assert api.runs == made


@pytest.mark.parametrize(
    ("there", "job", "sentence"),
    [
        (
            {"schedule": "weekly", "dataset": {"maxAgeDays": 4}},
            f"nightly-{MINUTES}",
            f"a run {NAME} exists already and is not of this schedule; delete or rename one of them",
        ),
        (
            {},
            f"nightly-{MINUTES}",
            f"the run {NAME} exists already, with another spec; delete it to repeat the run of this time",
        ),
        (
            {"dataset": {"maxAgeDays": 4}},
            "manual-1",
            "the run manual-1 exists already, from an earlier Job of that name; give the Job another name",
        ),
    ],
)
def test_name_of_another_run_is_refused(
    api: FakeRuns, capsys: pytest.CaptureFixture[str], there: dict[str, Any], job: str, sentence: str
):
    """For good: the Job does not retry."""
    api.put(NAME if job != "manual-1" else job, **there)
    assert fire(api, QLIB_SHADOW_JOB=job) == ExitCode.BAD_CONFIG
    assert capsys.readouterr().err == f"schedule nightly: {sentence}\n"


def test_forbid_skips_while_an_earlier_run_is_not_finished(api: FakeRuns, capsys: pytest.CaptureFixture[str]):
    """It is no failure; the sentence is in the log, on the pod and in an Event of the blocking run."""
    api.put(BEFORE)
    assert fire(api, "Forbid") == ExitCode.DONE
    message = (
        f"run {NAME} was skipped: {BEFORE} of schedule nightly is not finished (Pending), "
        "and concurrencyPolicy is Forbid"
    )
    assert capsys.readouterr().out == f"schedule nightly: {message}\n"
    assert api.events == [(BEFORE, "ScheduleSkipped", message)]
    assert list(api.runs) == [BEFORE]


def test_skipping_succeeds_without_its_event(api: FakeRuns, capsys: pytest.CaptureFixture[str]):
    """The Event is optional."""
    api.put(BEFORE)
    api.faults["event"] = RefusedError("events is forbidden")
    assert fire(api, "Forbid") == ExitCode.DONE
    assert "no Event could be posted: events is forbidden" in capsys.readouterr().out


def test_replace_deletes_only_unfinished_runs(api: FakeRuns, capsys: pytest.CaptureFixture[str]):
    """Before it creates; its own run, finished runs and runs of other schedules stay."""
    api.put("old", ended="Failed")
    api.put("one")
    api.put("two")
    api.put("stranger", schedule="weekly")
    assert fire(api, "Replace") == ExitCode.DONE
    assert api.calls[1:] == ["delete two", "delete one", f"create {NAME}"]
    assert set(api.runs) == {"old", "stranger", NAME}
    assert "deleted two, one, not finished; concurrencyPolicy is Replace" in capsys.readouterr().out


def test_interrupted_replace_continues(api: FakeRuns):
    """Between the deletion and the creation."""
    api.put(BEFORE)
    api.faults["delete"] = ClusterError("gone for a moment")
    assert fire(api, "Replace") == ExitCode.TRANSIENT
    assert fire(api, "Replace") == ExitCode.DONE
    assert list(api.runs) == [NAME]


def test_allow_lets_runs_overlap(api: FakeRuns):
    """The user has chosen so."""
    api.put(BEFORE)
    assert fire(api, "Allow") == ExitCode.DONE
    assert set(api.runs) == {BEFORE, NAME}


@pytest.mark.parametrize("ended", ["Complete", "Failed"])
def test_finished_runs_do_not_block(api: FakeRuns, ended: str):
    """Failed runs do not block either."""
    api.put(BEFORE, ended=ended)
    assert fire(api, "Forbid") == ExitCode.DONE
    assert NAME in api.runs


def test_run_being_deleted_does_not_block(api: FakeRuns):
    """It starts no more Jobs."""
    api.put(BEFORE)
    api.runs[BEFORE]["metadata"]["deletionTimestamp"] = "2026-11-16T00:00:00Z"
    fire(api, "Forbid")
    assert NAME in api.runs


@pytest.mark.parametrize(("keep", "left"), [(0, []), (1, ["c"]), (2, ["b", "c"]), (9, ["a", "b", "c"])])
def test_the_newest_finished_runs_are_kept(api: FakeRuns, keep: int, left: list[str]):
    """Counted without the run that is created now."""
    for name in ("a", "b", "c"):
        api.put(name, ended="Complete")
    api.put("stranger", ended="Complete", schedule="weekly")
    assert fire(api, keep=keep) == ExitCode.DONE
    assert list(api.runs) == [*left, "stranger", NAME]


def test_history_is_pruned_without_a_new_run(api: FakeRuns, capsys: pytest.CaptureFixture[str]):
    """Otherwise one stuck run would let the history grow."""
    api.put("old", ended="Complete")
    api.put(BEFORE)
    assert fire(api, "Forbid", keep=0) == ExitCode.DONE
    assert list(api.runs) == [BEFORE]
    assert "; pruned old; artifacts stay" in capsys.readouterr().out


def test_firing_does_not_prune_its_own_run(api: FakeRuns):
    """A retry after a very short run."""
    fire(api, keep=0)
    api.finish(NAME)
    assert fire(api, keep=0) == ExitCode.DONE
    assert NAME in api.runs


@pytest.mark.parametrize("name", ["QLIB_SHADOW_NAMESPACE", "QLIB_SHADOW_JOB", "QLIB_SHADOW_JOB_UID"])
def test_missing_variable_of_the_pod_is_named(api: FakeRuns, capsys: pytest.CaptureFixture[str], name: str):
    """For example in a CronJob written by hand."""
    assert fire(api, None, None, **{name: ""}) == ExitCode.BAD_CONFIG
    assert capsys.readouterr().err == (
        f"{name} is not set; the CronJob must pass it on from its pod's metadata, "
        "as manifests/samples/nightly.yaml does\n"
    )
    assert api.calls == []


def test_bad_schedule_names_the_variable(api: FakeRuns, capsys: pytest.CaptureFixture[str]):
    """No request is sent to the API server."""
    assert fire(api, QLIB_SHADOW_SCHEDULE="{name: nightly}") == ExitCode.BAD_CONFIG
    assert capsys.readouterr().err == "QLIB_SHADOW_SCHEDULE: run must be a mapping, not empty\n"
    assert api.calls == []


@pytest.mark.parametrize(
    ("fault", "code", "sentence"),
    [
        (
            RefusedError('unknown field "spec.dataste"', permanent=True),
            ExitCode.BAD_CONFIG,
            'schedule nightly: the API server refuses it: unknown field "spec.dataste"',
        ),
        (
            RefusedError("exceeded quota"),
            ExitCode.TRANSIENT,
            "schedule nightly: the API server refuses it: exceeded quota",
        ),
        (
            ConflictError("404 Not Found"),
            ExitCode.TRANSIENT,
            "schedule nightly: the CRD qlibshadowruns.qlibshadow.io is not installed",
        ),
    ],
)
def test_api_errors_are_reported(
    api: FakeRuns,
    capsys: pytest.CaptureFixture[str],
    fault: Exception,
    code: ExitCode,
    sentence: str,
):
    """What may pass by itself is retried; a permanent refusal is not."""
    api.faults["list"] = fault
    assert fire(api) == code
    assert capsys.readouterr().err == f"{sentence}\n"


def test_missing_cluster_is_reported(capsys: pytest.CaptureFixture[str]):
    """For example on a workstation."""

    def nowhere() -> FakeRuns:
        raise NoClusterError("no cluster to talk to; run in a pod, or set KUBECONFIG")

    assert main(ENVIRON, nowhere) == ExitCode.BAD_CONFIG
    assert capsys.readouterr().err == "no cluster to talk to; run in a pod, or set KUBECONFIG\n"


def test_outcome_is_the_termination_message(api: FakeRuns, tmp_path: Path):
    """Of a success, too; a long one is cut to what the kubelet keeps."""
    place = tmp_path / "termination-log"
    fire(api, QLIB_SHADOW_TERMINATION_LOG=str(place))
    assert place.read_text() == f"schedule nightly: created run {NAME}"
    fire(api, QLIB_SHADOW_TERMINATION_LOG=str(place), QLIB_SHADOW_SCHEDULE="x" * 9000 + ": 1")
    assert len(place.read_bytes()) <= 3500

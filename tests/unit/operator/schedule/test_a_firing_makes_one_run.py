"""A firing: one run however often it is tried, policies over runs, and history by count."""

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
    """Begin with no run."""
    return FakeRuns()


def fire(api: FakeRuns, policy: str | None = None, keep: int | None = None, **environ: str) -> int:
    """Fire once."""
    words = [f"concurrencyPolicy: {policy}"] * bool(policy) + [f"keepFinished: {keep}"] * (keep is not None)
    text = "{" + ", ".join(["name: nightly", *words, "run: {spec: {dataset: {maxAgeDays: 4}}}"]) + "}"
    return main({**ENVIRON, "QLIB_SHADOW_SCHEDULE": text, **environ}, lambda: api)


def test_a_run_is_named_after_the_time_that_was_due(api: FakeRuns, capsys: pytest.CaptureFixture[str]):
    """And says which schedule and Job made it."""
    assert fire(api) == ExitCode.DONE
    run = api.runs[NAME]
    assert run["spec"] == {"dataset": {"maxAgeDays": 4}}
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
def test_a_job_that_a_person_named_gives_its_name(api: FakeRuns, job: str):
    """`kubectl create job --from=cronjob/nightly manual-1`."""
    assert fire(api, QLIB_SHADOW_JOB=job) == ExitCode.DONE
    assert "qlibshadow.io/scheduled-for" not in api.runs[job]["metadata"]["annotations"]


@pytest.mark.parametrize("policy", ["Allow", "Forbid", "Replace"])
@pytest.mark.parametrize("job", [f"nightly-{MINUTES}", "manual-1"])
def test_trying_again_makes_no_second_run(api: FakeRuns, policy: str, job: str):
    """The pod died after the API server had made the run: a policy must not see it as an obstacle."""
    api.faults["create"] = ClusterError("the API server does not answer")
    assert fire(api, policy, QLIB_SHADOW_JOB=job) == ExitCode.TRANSIENT
    assert fire(api, policy, QLIB_SHADOW_JOB=job) == ExitCode.DONE
    assert len(api.runs) == 1
    assert not [call for call in api.calls if call.startswith("delete")]


def test_the_same_time_is_served_once_even_by_another_job(api: FakeRuns, capsys: pytest.CaptureFixture[str]):
    """The CronJob's Job was deleted and made again."""
    fire(api)
    assert fire(api, QLIB_SHADOW_JOB_UID="job-2") == ExitCode.DONE
    assert capsys.readouterr().out.endswith(f"run {NAME} exists already\n")
    assert len(api.runs) == 1


def test_a_name_that_was_taken_meanwhile_is_looked_at(api: FakeRuns):
    """Two Jobs at once: the other one was faster, after our list."""
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
def test_a_name_that_another_run_has_is_refused(
    api: FakeRuns, capsys: pytest.CaptureFixture[str], there: dict[str, Any], job: str, sentence: str
):
    """For good: the Job does not try again."""
    api.put(NAME if job != "manual-1" else job, **there)
    assert fire(api, QLIB_SHADOW_JOB=job) == ExitCode.BAD_CONFIG
    assert capsys.readouterr().err == f"schedule nightly: {sentence}\n"


def test_forbid_skips_while_an_earlier_run_is_not_finished(api: FakeRuns, capsys: pytest.CaptureFixture[str]):
    """It is no failure; a person finds it in the log, on the pod and at the run that stands in the way."""
    api.put(BEFORE)
    assert fire(api, "Forbid") == ExitCode.DONE
    message = (
        f"run {NAME} was skipped: {BEFORE} of schedule nightly is not finished (Pending), "
        "and concurrencyPolicy is Forbid"
    )
    assert capsys.readouterr().out == f"schedule nightly: {message}\n"
    assert api.events == [(BEFORE, "ScheduleSkipped", message)]
    assert list(api.runs) == [BEFORE]


def test_a_skipping_stands_without_its_event(api: FakeRuns, capsys: pytest.CaptureFixture[str]):
    """An Event is a courtesy."""
    api.put(BEFORE)
    api.faults["event"] = RefusedError("events is forbidden")
    assert fire(api, "Forbid") == ExitCode.DONE
    assert "no Event could be posted: events is forbidden" in capsys.readouterr().out


def test_replace_deletes_what_is_not_finished_and_nothing_else(
    api: FakeRuns, capsys: pytest.CaptureFixture[str]
):
    """Before it creates; its own run and finished ones stay, and those of other schedules."""
    api.put("old", ended="Failed")
    api.put("one")
    api.put("two")
    api.put("stranger", schedule="weekly")
    assert fire(api, "Replace") == ExitCode.DONE
    assert api.calls[1:] == ["delete two", "delete one", f"create {NAME}"]
    assert set(api.runs) == {"old", "stranger", NAME}
    assert "deleted two, one, not finished; concurrencyPolicy is Replace" in capsys.readouterr().out


def test_replace_goes_on_where_it_broke_off(api: FakeRuns):
    """Between the deletion and the creation."""
    api.put(BEFORE)
    api.faults["delete"] = ClusterError("gone for a moment")
    assert fire(api, "Replace") == ExitCode.TRANSIENT
    assert fire(api, "Replace") == ExitCode.DONE
    assert list(api.runs) == [NAME]


def test_allow_lets_runs_overlap(api: FakeRuns):
    """Whoever says so has the room."""
    api.put(BEFORE)
    assert fire(api, "Allow") == ExitCode.DONE
    assert set(api.runs) == {BEFORE, NAME}


@pytest.mark.parametrize("ended", ["Complete", "Failed"])
def test_finished_runs_stand_in_nobodys_way(api: FakeRuns, ended: str):
    """Failed ones neither."""
    api.put(BEFORE, ended=ended)
    assert fire(api, "Forbid") == ExitCode.DONE
    assert NAME in api.runs


def test_a_run_that_is_being_deleted_stands_in_nobodys_way(api: FakeRuns):
    """It starts nothing any more."""
    api.put(BEFORE)
    api.runs[BEFORE]["metadata"]["deletionTimestamp"] = "2026-11-16T00:00:00Z"
    fire(api, "Forbid")
    assert NAME in api.runs


@pytest.mark.parametrize(("keep", "left"), [(0, []), (1, ["c"]), (2, ["b", "c"]), (9, ["a", "b", "c"])])
def test_the_newest_finished_runs_are_kept(api: FakeRuns, keep: int, left: list[str]):
    """Counted without the one that is made now."""
    for name in ("a", "b", "c"):
        api.put(name, ended="Complete")
    api.put("stranger", ended="Complete", schedule="weekly")
    assert fire(api, keep=keep) == ExitCode.DONE
    assert list(api.runs) == [*left, "stranger", NAME]


def test_history_is_pruned_also_where_a_run_was_skipped_or_made_before(
    api: FakeRuns, capsys: pytest.CaptureFixture[str]
):
    """Else one stuck run would let it grow."""
    api.put("old", ended="Complete")
    api.put(BEFORE)
    assert fire(api, "Forbid", keep=0) == ExitCode.DONE
    assert list(api.runs) == [BEFORE]
    assert "; pruned old; artifacts stay" in capsys.readouterr().out


def test_a_run_that_was_just_made_and_has_finished_is_not_pruned_by_its_own_firing(api: FakeRuns):
    """A retry after a very short run."""
    fire(api, keep=0)
    api.finish(NAME)
    assert fire(api, keep=0) == ExitCode.DONE
    assert NAME in api.runs


@pytest.mark.parametrize("name", ["QLIB_SHADOW_NAMESPACE", "QLIB_SHADOW_JOB", "QLIB_SHADOW_JOB_UID"])
def test_a_pod_that_was_not_told_its_job_says_so(
    api: FakeRuns, capsys: pytest.CaptureFixture[str], name: str
):
    """Somebody wrote the CronJob by hand."""
    assert fire(api, None, None, **{name: ""}) == ExitCode.BAD_CONFIG
    assert capsys.readouterr().err == (
        f"{name} is not set; the CronJob must pass it on from its pod's metadata, "
        "as manifests/samples/nightly.yaml does\n"
    )
    assert api.calls == []


def test_a_bad_schedule_names_the_variable(api: FakeRuns, capsys: pytest.CaptureFixture[str]):
    """Nothing is asked of the API server."""
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
def test_what_the_api_server_says_is_passed_on(
    api: FakeRuns,
    capsys: pytest.CaptureFixture[str],
    fault: Exception,
    code: ExitCode,
    sentence: str,
):
    """What may pass by itself is tried again; what cannot is not."""
    api.faults["list"] = fault
    assert fire(api) == code
    assert capsys.readouterr().err == f"{sentence}\n"


def test_without_a_cluster_it_says_so(capsys: pytest.CaptureFixture[str]):
    """Somebody tries it at a desk."""

    def nowhere() -> FakeRuns:
        raise NoClusterError("no cluster to talk to; run in a pod, or set KUBECONFIG")

    assert main(ENVIRON, nowhere) == ExitCode.BAD_CONFIG
    assert capsys.readouterr().err == "no cluster to talk to; run in a pod, or set KUBECONFIG\n"


def test_the_sentence_is_the_pods_termination_message(api: FakeRuns, tmp_path: Path):
    """Of a success too; of a long one as much as the kubelet keeps."""
    place = tmp_path / "termination-log"
    fire(api, QLIB_SHADOW_TERMINATION_LOG=str(place))
    assert place.read_text() == f"schedule nightly: created run {NAME}"
    fire(api, QLIB_SHADOW_TERMINATION_LOG=str(place), QLIB_SHADOW_SCHEDULE="x" * 9000 + ": 1")
    assert len(place.read_bytes()) <= 3500

"""The trial run of `helm test`: it completes, fails, is deleted, or is never noticed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from qlib_shadow_operator import trial
from qlib_shadow_operator.kube.cluster import ClusterError, NoClusterError
from qlib_shadow_runner.contract import ExitCode
from qlib_shadow_runner.spec import parse_spec

ROOT = Path(__file__).parents[3]
ENVIRON = {"QLIB_SHADOW_NAMESPACE": "research", "QLIB_SHADOW_TRIAL": "trial-1"}


class Script:
    """An API server whose run has the statuses of a script in turn; the last one stays."""

    def __init__(self, *statuses: dict[str, Any] | None) -> None:
        self.statuses = list(statuses)
        self.made: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.pauses = 0

    def create_run(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create the run."""
        assert body["metadata"]["namespace"] == namespace
        self.made.append(body)
        return body

    def list_runs(self, namespace: str, **selectors: str) -> list[dict[str, Any]]:
        """Return the run with its current status."""
        assert namespace == "research"
        assert selectors == {"field_selector": "metadata.name=trial-1"}
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return [] if status is None else [{**self.made[0], "status": status}]

    def delete_run(self, run: Any) -> None:
        """Record the deletion."""
        self.deleted.append(run.name)

    def pause(self) -> None:
        """Count a pause without waiting."""
        self.pauses += 1


def ended(condition: str, **more: Any) -> dict[str, Any]:
    """Return a terminal status."""
    conditions = [
        {"type": condition, "status": "True", "reason": "ImageUnavailable", "message": "cannot be pulled"}
    ]
    return {"phase": condition, "conditions": conditions, **more}


def waits(reason: str, message: str = "cannot be\npulled") -> dict[str, Any]:
    """Return the status of a run whose first stage waits."""
    stages = [{"name": "download", "state": "Waiting", "reason": reason, "message": message}]
    in_progress = {"type": "Failed", "status": "False", "reason": "InProgress", "message": ""}
    summary = {"stage": "download"}
    return {"phase": "Pending", "summary": summary, "stages": stages, "conditions": [in_progress]}


def attempt(script: Script) -> ExitCode:
    """Run the trial without waiting."""
    return trial.main(ENVIRON, lambda: script, script.pause)


def test_complete_run_is_reported_and_deleted(capsys: pytest.CaptureFixture[str]):
    """Its figures and each change are printed once, and its artifacts stay."""
    running = {"phase": "Running", "summary": {"stage": "download"}}
    done = ended("Complete", summary={"ic": "0.031"}, artifactPath="/data/x")
    script = Script({}, running, running, done)
    assert attempt(script) is ExitCode.DONE
    assert script.deleted == ["trial-1"]
    assert capsys.readouterr().out.splitlines() == [
        "trial-1: waiting for the operator to notice it",
        "trial-1: Running download",
        "trial-1: Complete",
        "trial-1: ic 0.031; artifacts stay at /data/x",
    ]


def test_failed_run_is_explained_and_kept(capsys: pytest.CaptureFixture[str]):
    """So that the user can describe it."""
    script = Script(ended("Failed"))
    assert attempt(script) is ExitCode.INTERNAL
    assert script.deleted == []
    assert "trial-1: ImageUnavailable: cannot be pulled" in capsys.readouterr().err


def test_unnoticed_run_times_out(capsys: pytest.CaptureFixture[str]):
    """The operator watches other namespaces."""
    assert attempt(Script({})) is ExitCode.INTERNAL
    assert "trial-1: not finished after 1200 s; is the operator running?" in capsys.readouterr().err


@pytest.mark.parametrize("reason", sorted(trial.LASTING))
def test_lasting_cause_is_printed_at_once_and_ends_the_trial_early(
    reason: str, capsys: pytest.CaptureFixture[str]
):
    """After two minutes, in case that it passes; half an hour would be too long for a wrong registry."""
    script = Script({}, waits(reason))
    assert attempt(script) is ExitCode.INTERNAL
    assert script.pauses * trial.PAUSE == pytest.approx(120, abs=5)
    told = capsys.readouterr()
    said = f"Pending download: {reason}: cannot be pulled"
    assert told.out.splitlines()[1:] == [f"trial-1: {said}"]
    assert told.err == f"trial-1: given up, because this needs a person to fix it: {said}\n"


def test_passing_cause_is_not_a_failure():
    """A registry that fails briefly: only a lasting cause ends the trial."""
    hiccup = [*[waits("ImageUnavailable")] * 100, {"phase": "Running"}]
    assert attempt(Script(*hiccup, *hiccup, ended("Complete"))) is ExitCode.DONE


def test_cause_that_may_pass_is_waited_for(capsys: pytest.CaptureFixture[str]):
    """Each new reason is a line; a node may still be added."""
    script = Script(waits("QuotaExceeded", "no room"), waits("Unschedulable", "no node"))
    assert attempt(script) is ExitCode.INTERNAL
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "trial-1: Pending download: QuotaExceeded: no room",
        "trial-1: Pending download: Unschedulable: no node",
    ]
    assert told.err == "trial-1: not finished after 1200 s: Pending download: Unschedulable: no node\n"


def test_the_trial_ends_before_helm_gives_up():
    """Otherwise the user only reads helm's own "timed out waiting for the condition"."""
    pages = [ROOT / "README.md", ROOT / "docs/install.md"]
    pages.append(ROOT / "helm/qlib-shadow-operator/templates/NOTES.txt")
    for page in pages:
        [minutes] = re.findall(r"^ *helm test .*--timeout (\d+)m", page.read_text(), re.MULTILINE)
        # A third is left for the trial's own image and for an API server that answers slowly.
        assert 60 * int(minutes) * 2 / 3 >= trial.PATIENCE, page


def test_deleted_trial_run_is_a_failure(capsys: pytest.CaptureFixture[str]):
    """It is never reported as complete."""
    assert attempt(Script({}, None)) is ExitCode.INTERNAL
    assert "the run was deleted" in capsys.readouterr().out


@pytest.mark.parametrize("error", [ClusterError("no answer"), NoClusterError("no cluster")])
def test_missing_api_server_is_one_sentence(error: Exception, capsys: pytest.CaptureFixture[str]):
    """And no traceback."""

    def connect() -> Script:
        raise error

    assert trial.main(ENVIRON, connect, lambda: None) is ExitCode.TRANSIENT
    assert capsys.readouterr().err == f"the trial run trial-1: {error}\n"


@pytest.mark.parametrize("missing", ENVIRON)
def test_a_missing_variable_is_named(missing: str, capsys: pytest.CaptureFixture[str]):
    """The chart sets both."""
    environ = {name: value for name, value in ENVIRON.items() if name != missing}
    assert trial.main(environ, Script, lambda: None) is ExitCode.BAD_CONFIG
    assert missing in capsys.readouterr().err


def test_runner_accepts_the_trial_spec():
    """As it would parse a user's."""
    assert parse_spec(trial.SPEC).dataset.path == "/data/qlib/qlib_data/trial"

"""The trial run of `helm test`: ends well, ends badly, is removed, is never noticed."""

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
    """An API server whose run passes through the statuses of a script; the last one stays."""

    def __init__(self, *statuses: dict[str, Any] | None) -> None:
        self.statuses = list(statuses)
        self.made: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.pauses = 0

    def create_run(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make the run."""
        assert body["metadata"]["namespace"] == namespace
        self.made.append(body)
        return body

    def list_runs(self, namespace: str, **selectors: str) -> list[dict[str, Any]]:
        """Show the run as it is now."""
        assert namespace == "research"
        assert selectors == {"field_selector": "metadata.name=trial-1"}
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return [] if status is None else [{**self.made[0], "status": status}]

    def delete_run(self, run: Any) -> None:
        """Remove it."""
        self.deleted.append(run.name)

    def pause(self) -> None:
        """Let no time pass."""
        self.pauses += 1


def ended(condition: str, **more: Any) -> dict[str, Any]:
    """Write a terminal status."""
    conditions = [
        {"type": condition, "status": "True", "reason": "ImageUnavailable", "message": "cannot be pulled"}
    ]
    return {"phase": condition, "conditions": conditions, **more}


def waits(reason: str, message: str = "cannot be\npulled") -> dict[str, Any]:
    """Write the status of a run whose first stage waits."""
    stages = [{"name": "download", "state": "Waiting", "reason": reason, "message": message}]
    in_progress = {"type": "Failed", "status": "False", "reason": "InProgress", "message": ""}
    summary = {"stage": "download"}
    return {"phase": "Pending", "summary": summary, "stages": stages, "conditions": [in_progress]}


def attempt(script: Script) -> ExitCode:
    """Run the trial without waiting."""
    return trial.main(ENVIRON, lambda: script, script.pause)


def test_a_run_that_completes_is_reported_and_removed(capsys: pytest.CaptureFixture[str]):
    """Its figures are said, each change once, and its artifacts stay."""
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


def test_a_run_that_fails_says_why_and_stays(capsys: pytest.CaptureFixture[str]):
    """For whoever wants to describe it."""
    script = Script(ended("Failed"))
    assert attempt(script) is ExitCode.INTERNAL
    assert script.deleted == []
    assert "trial-1: ImageUnavailable: cannot be pulled" in capsys.readouterr().err


def test_a_run_that_nobody_notices_ends_the_patience(capsys: pytest.CaptureFixture[str]):
    """An operator that watches other namespaces."""
    assert attempt(Script({})) is ExitCode.INTERNAL
    assert "trial-1: not finished after 1200 s; is the operator running?" in capsys.readouterr().err


@pytest.mark.parametrize("reason", sorted(trial.LASTING))
def test_what_does_not_mend_itself_is_said_at_once_and_given_up_soon(
    reason: str, capsys: pytest.CaptureFixture[str]
):
    """Two minutes, in case that it does; nobody waits for half an hour to read of a wrong registry."""
    script = Script({}, waits(reason))
    assert attempt(script) is ExitCode.INTERNAL
    assert script.pauses * trial.PAUSE == pytest.approx(120, abs=5)
    told = capsys.readouterr()
    said = f"Pending download: {reason}: cannot be pulled"
    assert told.out.splitlines()[1:] == [f"trial-1: {said}"]
    assert told.err == f"trial-1: given up, because this needs a person to fix it: {said}\n"


def test_what_mends_itself_in_time_is_no_failure():
    """A registry that hiccups now and then: only what has stood for long ends the trial."""
    hiccup = [*[waits("ImageUnavailable")] * 100, {"phase": "Running"}]
    assert attempt(Script(*hiccup, *hiccup, ended("Complete"))) is ExitCode.DONE


def test_what_may_pass_is_waited_for_and_told_at_the_end(capsys: pytest.CaptureFixture[str]):
    """Each new reason on a line of its own; a node may still come."""
    script = Script(waits("QuotaExceeded", "no room"), waits("Unschedulable", "no node"))
    assert attempt(script) is ExitCode.INTERNAL
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "trial-1: Pending download: QuotaExceeded: no room",
        "trial-1: Pending download: Unschedulable: no node",
    ]
    assert told.err == "trial-1: not finished after 1200 s: Pending download: Unschedulable: no node\n"


def test_the_trial_ends_before_helm_gives_up():
    """Or all that anybody reads is helm's own "timed out waiting for the condition"."""
    pages = [ROOT / "README.md", ROOT / "docs/install.md"]
    pages.append(ROOT / "helm/qlib-shadow-operator/templates/NOTES.txt")
    for page in pages:
        [minutes] = re.findall(r"^ *helm test .*--timeout (\d+)m", page.read_text(), re.MULTILINE)
        # A third is left for the trial's own image and for an API server that answers slowly.
        assert 60 * int(minutes) * 2 / 3 >= trial.PATIENCE, page


def test_a_run_that_somebody_removes_is_a_failure(capsys: pytest.CaptureFixture[str]):
    """It is never said to have ended well."""
    assert attempt(Script({}, None)) is ExitCode.INTERNAL
    assert "the run is gone" in capsys.readouterr().out


@pytest.mark.parametrize("error", [ClusterError("no answer"), NoClusterError("no cluster")])
def test_without_an_api_server_there_is_a_sentence(error: Exception, capsys: pytest.CaptureFixture[str]):
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


def test_the_runner_takes_the_trials_spec():
    """As it would take a user's."""
    assert parse_spec(trial.SPEC).dataset.path == "/data/qlib/qlib_data/trial"

"""A schedule's YAML: valid forms, and the sentence for each mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from qlib_shadow_operator.runs.names import APP_NAME
from qlib_shadow_operator.schedule.parse_schedule import Concurrency, ScheduleError, parse_schedule

MANIFESTS = Path(__file__).parents[4] / "manifests"
RUN = "run: {spec: {}}"


def sample() -> dict[str, Any]:
    """Return the sample CronJob."""
    found: dict[str, Any] = yaml.safe_load((MANIFESTS / "samples/nightly.yaml").read_text())
    return found


def pod(cronjob: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of the pod that creates a run."""
    found: dict[str, Any] = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def test_minimal_schedule_is_a_name_and_a_spec():
    """The defaults: one run at a time, thirty kept."""
    schedule = parse_schedule("name: nightly\n" + RUN)
    assert (schedule.name, schedule.spec) == ("nightly", {"series": "nightly"})
    assert (schedule.concurrency, schedule.keep_finished) == (Concurrency.FORBID, 30)


def test_every_field_is_parsed():
    """With labels and annotations."""
    schedule = parse_schedule(
        "{name: weekly, concurrencyPolicy: Replace, keepFinished: 0, run: {metadata: {labels: {team: quant},"
        " annotations: {why: test}}, spec: {suspend: true}}}"
    )
    assert schedule.concurrency is Concurrency.REPLACE
    assert schedule.keep_finished == 0
    assert (schedule.labels, schedule.annotations) == ({"team": "quant"}, {"why": "test"})
    assert schedule.spec == {"suspend": True, "series": "weekly"}


def test_schedule_may_be_json():
    """A chart writes JSON."""
    document = {"name": "nightly", "run": {"spec": {"workflow": {"template": "x"}}}}
    assert parse_schedule(json.dumps(document)).spec["workflow"] == {"template": "x"}


@pytest.mark.parametrize(("written", "series"), [("us", "us"), ("null", "nightly")])
def test_runs_are_of_the_schedules_series_unless_it_names_another(written: str, series: str):
    """So two schedules with one recipe share no model; two that shall share one name one series."""
    schedule = parse_schedule(f"{{name: nightly, run: {{spec: {{series: {written}}}}}}}")
    assert schedule.spec == {"series": series}


def test_run_may_have_its_kind():
    """As in a run manifest, without its name."""
    schedule = parse_schedule(
        "{name: n, run: {apiVersion: qlibshadow.io/v1alpha1, kind: QlibShadowRun, spec: {}}}"
    )
    assert schedule.spec == {"series": "n"}


def test_dates_are_strings():
    """As kubectl reads them; a Python date would not fit into JSON."""
    text = "{name: n, run: {spec: {workflow: {segments: {train: [2019-01-02, 2020-12-31]}}}}}"
    assert parse_schedule(text).spec["workflow"]["segments"]["train"] == ["2019-01-02", "2020-12-31"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the schedule must be a mapping, not empty"),
        ("nightly", "the schedule must be a mapping, not text"),
        ("[]", "the schedule must be a mapping, not a list"),
        ("7", "the schedule must be a mapping, not a number"),
        ("name: [", "the schedule is not YAML, line 1: expected the node content, but found '<stream end>'"),
        ("name: a\nname: b", 'the schedule is not YAML, line 2: "name" appears twice'),
        (
            "{name: !!binary aGk=, run: {}}",
            "the schedule has the YAML tag tag:yaml.org,2002:binary at line 1",
        ),
        ("{name: .nan, run: {}}", "the schedule cannot be written as JSON"),
        ("name: &a [*a]", "the schedule has the YAML alias a at line 1 inside of what it stands for"),
        ("[" * 1500, "the schedule is nested deeper than 50 levels at line 1"),
        (
            "{name: n, concurencyPolicy: Allow}",
            'the schedule has no field "concurencyPolicy"; did you mean "concurrencyPolicy"?',
        ),
        (
            "{name: n, colour: red}",
            'the schedule has no field "colour"; the fields are name, concurrencyPolicy, keepFinished, run',
        ),
        (RUN, 'the name of the schedule is "None"; it must be the CronJob\'s name'),
        ("{name: Nightly, run: {spec: {}}}", 'the name of the schedule is "Nightly"; it must be'),
        ("{name: 7, run: {spec: {}}}", 'the name of the schedule is "7"; it must be'),
        (
            f"{{name: {'n' * 50}, run: {{spec: {{}}}}}}",
            'of at most 49 lower-case letters, digits and "-"',
        ),
        ("{name: n}", "run must be a mapping, not empty"),
        ("{name: n, run: {}}", "run.spec must be a mapping, not empty"),
        ("{name: n, run: {spec: x}}", "run.spec must be a mapping, not text"),
        (
            "{name: n, run: {dataset: {}}}",
            'run has no field "dataset"; the fields are apiVersion, kind, metadata, spec',
        ),
        (
            "{name: n, run: {kind: Job, spec: {}}}",
            'run.kind is "Job"; write QlibShadowRun, or leave it out',
        ),
        (
            "{name: n, run: {metadata: {name: x}, spec: {}}}",
            "run.metadata must not name the run: each is named after its time, in the CronJob's namespace",
        ),
        (
            "{name: n, run: {metadata: {finalizers: []}, spec: {}}}",
            'run.metadata has no field "finalizers"; the fields are labels, annotations',
        ),
        ("{name: n, run: {metadata: true, spec: {}}}", "run.metadata must be a mapping, not true or false"),
        (
            "{name: n, run: {metadata: {labels: {year: 2026}}, spec: {}}}",
            'run.metadata.labels has "year: 2026"; a value must be text, so put it in quotes',
        ),
        (
            "{name: n, run: {metadata: {labels: {qlibshadow.io/schedule: x}}, spec: {}}}",
            'run.metadata.labels has "qlibshadow.io/schedule"; names below qlibshadow.io/ are set by',
        ),
        (
            "{name: n, run: {spec: {runId: x}}}",
            "run.spec.runId would be the same for every run of the schedule; leave it out",
        ),
        (
            "{name: n, concurrencyPolicy: forbid, run: {spec: {}}}",
            'concurrencyPolicy is "forbid"; it must be Allow, Forbid, Replace',
        ),
        (
            "{name: n, keepFinished: -1, run: {spec: {}}}",
            'keepFinished is "-1"; it must be a whole number from 0 to 10000',
        ),
        ("{name: n, keepFinished: true, run: {spec: {}}}", 'keepFinished is "True"; it must be'),
        ("{name: n, keepFinished: '3', run: {spec: {}}}", 'keepFinished is "3"; it must be'),
    ],
)
def test_a_mistake_is_one_sentence(text: str, sentence: str):
    """What is wrong, where, and what to write instead."""
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sample_schedule_has_its_cronjobs_name():
    """Otherwise its runs would be named after Jobs instead of times."""
    cronjob = sample()
    environ = {one["name"]: one.get("value") for one in pod(cronjob)["containers"][0]["env"]}
    schedule = parse_schedule(environ["QLIB_SHADOW_SCHEDULE"])
    assert schedule.name == cronjob["metadata"]["name"]
    assert cronjob["spec"]["timeZone"]
    assert cronjob["metadata"]["labels"]["app.kubernetes.io/name"] == APP_NAME


def test_sample_pod_is_restricted():
    """The namespace enforces it; it only needs its token."""
    found = pod(sample())
    [container] = found["containers"]
    deployment = yaml.safe_load((MANIFESTS / "operator/deployment.yaml").read_text())
    operator = deployment["spec"]["template"]["spec"]
    assert found["securityContext"] == operator["securityContext"]
    assert container["securityContext"] == operator["containers"][0]["securityContext"]
    assert container["image"] == operator["containers"][0]["image"]


def test_schedule_role_is_minimal():
    """It reads nothing but runs, and changes none."""
    role = yaml.safe_load((MANIFESTS / "schedules/role.yaml").read_text())
    assert [(rule["resources"], rule["verbs"]) for rule in role["rules"]] == [
        (["qlibshadowruns"], ["list", "create", "delete"]),
        (["events"], ["create"]),
    ]
    account = yaml.safe_load((MANIFESTS / "schedules/serviceaccount.yaml").read_text())
    assert pod(sample())["serviceAccountName"] == account["metadata"]["name"]

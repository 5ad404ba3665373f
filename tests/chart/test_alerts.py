"""Alerts and dashboard, evaluated by Prometheus' own engine: what fires, what does not, and valid PromQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from testcluster import binaries
from testcluster.commands import run
from testcluster.errors import UnavailableError

Render = Any
Series = dict[str, Any]
FeatureRequest = Callable[..., list[dict[str, Any]]]
NOW = 1_000_000
MINUTE, HOUR, DAY = 60, 3600, 86400
NIGHTLY = {"name": "nightly", "cron": "30 18 * * 1-5", "run": {"spec": {}}}
RULE = ("PrometheusRule", "research/us-qlib-shadow-operator")
ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "helm/qlib-shadow-operator/files/dashboard.json"
pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def ask() -> FeatureRequest:
    """Return a function that evaluates expressions over series."""
    try:
        program = binaries.promql()
    except UnavailableError as why:
        pytest.fail(str(why))

    def answers(series: list[Series], *expressions: str) -> list[dict[str, Any]]:
        queries = [{"expression": expression, "at": NOW} for expression in expressions]
        found: list[dict[str, Any]] = json.loads(
            run(program, stdin=json.dumps({"series": series, "queries": queries}))
        )
        assert [one["error"] for one in found if "error" in one] == []
        return found

    return answers


@pytest.fixture(scope="module")
def alerts(render: Render) -> dict[str, str]:
    """Return the alerts of a release in `research` with one schedule."""
    objects = render(metrics={"prometheusRule": {"enabled": True}}, schedules=[NIGHTLY])
    [group] = objects["PrometheusRule", "research/us-qlib-shadow-operator"]["spec"]["groups"]
    return {rule["alert"].removeprefix("QlibShadow"): rule["expr"] for rule in group["rules"]}


def series(name: str, *values: tuple[float, float], **labels: str) -> Series:
    """Return a series: from (seconds ago, value) on it has that value, scraped each minute until now."""
    points = []
    begins = [*values, (-MINUTE, 0)]
    for (ago, value), (until, _) in pairwise(begins):
        points += [[at, value] for at in range(int(NOW - ago), int(NOW - until), MINUTE)]
    named = {"__name__": f"qlib_shadow_{name}", "namespace": "research", **labels}
    return {"labels": named, "points": points}


def failed(*values: tuple[float, float], **labels: str) -> Series:
    """Return a count of failed runs."""
    told = {"series": "nightly", "phase": "Failed", "reason": "OutOfMemory", **labels}
    return series("runs_finished_total", *values, **told)


def defects(*values: tuple[float, float]) -> Series:
    """Return a count of reconcile passes that ended in a defect."""
    return series("reconcile_duration_seconds_count", *values, outcome="defect")


def success(hours: float, **labels: str) -> Series:
    """Return when a series was last complete."""
    value = NOW - hours * HOUR
    return series("last_success_timestamp_seconds", (DAY, value), **{"series": "nightly", **labels})


def forgotten(hours: float, since: float) -> Series:
    """Return the same series, which ended when another operator process started some hours ago."""
    known = success(hours, pod="before")
    return {**known, "points": [one for one in known["points"] if one[0] < NOW - since * HOUR]}


def data_end(days: float) -> Series:
    """Return when the series' data ended."""
    return series("dataset_end_timestamp_seconds", (DAY, NOW - days * DAY), series="nightly")


def model(name: str, state: str, **labels: str) -> Series:
    """Return what the newest run of a series says of its model."""
    return series(f"model_{name}", (DAY, 1), **{"series": "nightly", "state": state, **labels})


def book(name: str, value: float, **labels: str) -> Series:
    """Return what the newest run of a series says of its book."""
    return series(f"ledger_{name}", (DAY, value), **{"series": "nightly", **labels})


def tracking(value: float) -> list[Series]:
    """Return a difference of a book from its backtest that is more than chance."""
    return [book("beyond_tracking", 1), book("tracking", value)]


def decided(days: float, **labels: str) -> Series:
    """Return the day that the book of the series has decided last."""
    return book("decided_timestamp_seconds", NOW - days * DAY, **labels)


RINGS: dict[str, tuple[str, *tuple[Series, ...]]] = {
    "the first run that fails for a reason": ("RunFailed", failed((2 * MINUTE, 1))),
    "another one": ("RunFailed", failed((DAY, 1), (10 * MINUTE, 2))),
    "no success since the weekend and a day": ("NoSuccess", success(77)),
    "no success since, and an operator that knows of none": ("NoSuccess", forgotten(77, 10)),
    "a schedule that was never complete": ("NoSuccessKnown", success(1, series="weekly")),
    "one that a new operator knows nothing of": ("NoSuccessKnown", forgotten(20, 10)),
    "data that end a week ago": ("DatasetStale", data_end(7)),
    "a book to which each night brings the same day": ("LedgerStale", decided(6), success(1)),
    "new days that are far from those before": ("ModelDrifts", model("drift", "drifting")),
    "a model that has decayed": ("ModelDecayed", model("decay", "decayed", series="default")),
    "a gate that is closed": ("LedgerGateClosed", book("gate_closed", 1, gate="drift")),
    "a decision that came too late": ("LedgerNightLost", book("late", 1)),
    "two nights without a decision": ("LedgerNightLost", book("missed_days", 2)),
    "a paper account that has fallen far": ("LedgerDrawdown", book("drawdown", 0.21)),
    "a record that no backtest promised": ("LedgerBeyondPromise", book("beyond_promise", 1)),
    "an account that has left its backtest": ("LedgerBeyondTracking", *tracking(-0.02)),
    "a run that waits for a look": ("OperatorStuck", series("queue_oldest_wait_seconds", (HOUR, 301))),
    "a watch that hears nothing": (
        "OperatorStuck",
        series("watch_contact_timestamp_seconds", (HOUR, NOW - 301), kind="jobs"),
    ),
    "the first defect": ("OperatorStuck", defects((2 * MINUTE, 1))),
    "another defect": ("OperatorStuck", defects((DAY, 1), (5 * MINUTE, 2))),
    "an operator that is gone": ("OperatorGone", failed((DAY, 0))),
    "one of another release in its place": (
        "OperatorGone",
        series("build_info", (DAY, 1), namespace="elsewhere"),
    ),
}
IS_SILENT: dict[str, tuple[str, *tuple[Series, ...]]] = {
    "a run that failed yesterday": ("RunFailed", failed((DAY, 1))),
    "a failure that another release tells of": (
        "RunFailed",
        failed((2 * MINUTE, 1), namespace="elsewhere"),
    ),
    "a run that is complete": (
        "RunFailed",
        series("runs_finished_total", (MINUTE, 1), phase="Complete", reason="Complete"),
    ),
    "a success before the weekend": ("NoSuccess", success(74)),
    "what a person ran once": ("NoSuccess", success(500, series="lightgbm-alpha158")),
    "a schedule of another release": ("NoSuccess", success(500, namespace="elsewhere")),
    "a success that is forgotten, but not long ago": ("NoSuccess", forgotten(74, 10)),
    "a success, however long ago": ("NoSuccessKnown", success(500)),
    "data of last week's end": ("DatasetStale", data_end(3)),
    "a book of last week's end": ("LedgerStale", decided(4), success(1)),
    "a book whose schedule has stopped": ("LedgerStale", decided(7), success(6 * 24)),
    "a book that a person has recorded over past nights": (
        "LedgerStale",
        decided(500, series="lightgbm-alpha158"),
        success(1, series="lightgbm-alpha158"),
    ),
    "a book of another release": (
        "LedgerStale",
        decided(7, namespace="elsewhere"),
        success(1, namespace="elsewhere"),
    ),
    "days like those before": ("ModelDrifts", model("drift", "none")),
    "days of which too little is known": ("ModelDrifts", model("drift", "unknown")),
    "a model that holds": ("ModelDecayed", model("decay", "holds")),
    "a model of which too little is known": ("ModelDecayed", model("decay", "unknown")),
    "a model that another release tells of": (
        "ModelDecayed",
        model("decay", "decayed", namespace="elsewhere"),
    ),
    "a gate of another release": (
        "LedgerGateClosed",
        book("gate_closed", 1, gate="drift", namespace="elsewhere"),
    ),
    "a decision in time": ("LedgerNightLost", book("late", 0)),
    "a night after a night": ("LedgerNightLost", book("missed_days", 0)),
    "a paper account that has fallen a little": ("LedgerDrawdown", book("drawdown", 0.19)),
    "a record as promised": ("LedgerBeyondPromise", book("beyond_promise", 0)),
    "an account that has left its backtest by little": ("LedgerBeyondTracking", *tracking(0.009)),
    "work as usual": ("OperatorStuck", series("queue_oldest_wait_seconds", (HOUR, 2))),
    "a watch that was just heard": (
        "OperatorStuck",
        series("watch_contact_timestamp_seconds", (HOUR, NOW - 45), kind="jobs"),
    ),
    "an old defect": ("OperatorStuck", defects((DAY, 1))),
    "an operator": ("OperatorGone", series("build_info", (DAY, 1), version="0.1.0")),
}


@pytest.mark.parametrize(("alert", "known"), [(alert, known) for alert, *known in RINGS.values()], ids=RINGS)
def test_alert_fires(ask: FeatureRequest, alerts: dict[str, str], alert: str, known: list[Series]):
    """Once, for what is wrong."""
    [answer] = ask(known, alerts[alert])
    assert len(answer["found"]) == 1


@pytest.mark.parametrize(
    ("alert", "known"), [(alert, known) for alert, *known in IS_SILENT.values()], ids=IS_SILENT
)
def test_alert_does_not_fire(ask: FeatureRequest, alerts: dict[str, str], alert: str, known: list[Series]):
    """When all is well, or the fault is not this operator's."""
    [answer] = ask(known, alerts[alert])
    assert answer["found"] == []


def test_series_of_an_earlier_process_is_superseded(ask: FeatureRequest, alerts: dict[str, str]):
    """A success since then counts; without one, there is one alert and not two."""
    before, since, same = forgotten(100, 10), success(5, pod="now"), success(100, pod="now")
    [answer] = ask([before, since], alerts["NoSuccess"])
    assert answer["found"] == []
    [answer] = ask([before, same], alerts["NoSuccess"])
    assert [one["labels"] for one in answer["found"]] == [{"namespace": "research", "series": "nightly"}]


def test_a_book_of_each_week_misses_the_days_between(ask: FeatureRequest, render: Render):
    """Four trading days are then no alert, a missed week is one."""
    [group] = render(metrics={"prometheusRule": {"enabled": True, "ledgerMissedDays": 4}})[RULE]["spec"][
        "groups"
    ]
    [expression] = [one["expr"] for one in group["rules"] if one["alert"] == "QlibShadowLedgerNightLost"]
    for missed, rings in ((4, 0), (5, 1)):
        [answer] = ask([book("missed_days", missed)], expression)
        assert len(answer["found"]) == rings


def test_schedule_that_never_succeeded_is_named(ask: FeatureRequest, render: Render):
    """Each schedule, in the namespace of its runs."""
    objects = render(
        metrics={"prometheusRule": {"enabled": True}},
        namespaces=["a", "b"],
        schedules=[NIGHTLY, {**NIGHTLY, "namespace": "b"}, {**NIGHTLY, "name": "weekly"}],
    )
    [group] = objects["PrometheusRule", "research/us-qlib-shadow-operator"]["spec"]["groups"]
    [expression] = [rule["expr"] for rule in group["rules"] if rule["alert"] == "QlibShadowNoSuccessKnown"]
    [answer] = ask([success(1, namespace="a")], expression)
    assert [one["labels"] for one in answer["found"]] == [
        {"namespace": "b", "series": "nightly"},
        {"namespace": "a", "series": "weekly"},
    ]


def test_failed_run_is_routed_by_namespace_and_series(ask: FeatureRequest, render: Render):
    """One alert for each, whichever operator has counted; the operator's own namespace does not matter."""
    objects = render(metrics={"prometheusRule": {"enabled": True}}, namespaces=["desk-a", "desk-b"])
    [group] = objects["PrometheusRule", "research/us-qlib-shadow-operator"]["spec"]["groups"]
    [expression] = [rule["expr"] for rule in group["rules"] if rule["alert"] == "QlibShadowRunFailed"]
    known = [
        failed((2 * MINUTE, 1), namespace="desk-a", pod="one"),
        failed((2 * MINUTE, 1), namespace="desk-a", pod="two"),
        failed((2 * MINUTE, 1), namespace="desk-b", series="weekly"),
    ]
    [answer] = ask(known, expression)
    assert [one["labels"] for one in answer["found"]] == [
        {"namespace": "desk-a", "reason": "OutOfMemory", "series": "nightly"},
        {"namespace": "desk-b", "reason": "OutOfMemory", "series": "weekly"},
    ]


def test_data_are_called_stale_once(ask: FeatureRequest, alerts: dict[str, str]):
    """Also by two operators, of which each knows it."""
    twice = [data_end(7), data_end(7)]
    twice[1]["labels"]["pod"] = "two"
    [answer] = ask(twice, alerts["DatasetStale"])
    assert len(answer["found"]) == 1


def test_every_alert_has_its_runbook(render: Render):
    """An existing heading of docs/alerts.md, or of a page of the installer's own."""

    def books(**more: str) -> dict[str, str]:
        rule = {"prometheusRule": {"enabled": True, **more}}
        [group] = render(metrics=rule, schedules=[NIGHTLY])[RULE]["spec"]["groups"]
        return {one["alert"]: one["annotations"]["runbook_url"] for one in group["rules"]}

    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/alerts.md").read_text(), re.MULTILINE)
    version = yaml.safe_load((ROOT / "helm/qlib-shadow-operator/Chart.yaml").read_text())["appVersion"]
    page = f"https://github.com/qlib-shadow/qlib-shadow-operator/blob/v{version}/docs/alerts.md"
    assert books() == {name: f"{page}#{name.lower()}" for name in headings}
    assert set(books(runbook="https://wiki.example/qlib").values()) == {
        f"https://wiki.example/qlib#{name.lower()}" for name in headings
    }


def test_every_alert_is_tested_firing_and_not_firing(alerts: dict[str, str]):
    """Otherwise an alert that can never fire would not be noticed."""
    assert (
        {alert for alert, *_ in RINGS.values()} == {alert for alert, *_ in IS_SILENT.values()} == set(alerts)
    )


def test_cluster_wide_alerts_cover_every_namespace(ask: FeatureRequest, render: Render):
    """Runs may be in any namespace; the operator's own alerts are not affected."""
    objects = render(
        metrics={"prometheusRule": {"enabled": True, "series": "us-.+"}}, clusterWide=True, namespaces=["a"]
    )
    [group] = objects["PrometheusRule", "research/us-qlib-shadow-operator"]["spec"]["groups"]
    expressions = {rule["alert"]: rule["expr"] for rule in group["rules"]}
    late = success(500, namespace="desk-b", series="us-nightly")
    [answer] = ask([late], expressions["QlibShadowNoSuccess"])
    assert [one["labels"]["namespace"] for one in answer["found"]] == ["desk-b"]


def panels(namespace: str, operator: str) -> dict[str, list[str]]:
    """Return each panel's expressions, with Grafana's variables filled in."""
    chosen = {"$__rate_interval": "5m", "$namespace": namespace, "$operator": operator}

    def fill(expression: str) -> str:
        for name, value in chosen.items():
            expression = expression.replace(name, value)
        return expression

    found = json.loads(DASHBOARD.read_text())["panels"]
    return {one["title"]: [fill(target["expr"]) for target in one.get("targets", [])] for one in found}


def test_every_panel_is_valid_promql(ask: FeatureRequest):
    """With all namespaces, which is what the dashboard begins with."""
    asked = [one for of_panel in panels(".*", ".*").values() for one in of_panel]
    assert len(ask([], *asked)) == len(asked) > 10
    assert not [one for one in asked if "$" in one]


def test_dashboard_shows_a_release_of_any_name(ask: FeatureRequest):
    """Memory and processor time belong to operators by what they serve, and not by the job's name."""
    scraped = {"job": "research/quant", "instance": "10.0.0.1:8080"}

    def process(name: str, **labels: str) -> Series:
        known = series(name, (HOUR, 1), **scraped | labels)
        return {**known, "labels": known["labels"] | {"__name__": name}}

    known = [
        series("build_info", (HOUR, 1), **scraped),
        *(process("process_resident_memory_bytes", instance=of) for of in ("10.0.0.1:8080", "10.0.0.2:80")),
        process("process_cpu_seconds_total"),
    ]
    for title in ("Memory of the operator", "Processor time of the operator"):
        [answer] = ask(known, *panels(".*", "research")[title])
        assert [one["labels"]["instance"] for one in answer["found"]] == ["10.0.0.1:8080"]


def test_dashboard_shows_one_namespace(ask: FeatureRequest):
    """The chosen one's series, each once although two operators know it; runs are counted once, too."""
    known = [success(1, namespace=where, pod=pod) for where in ("desk-a", "desk-b") for pod in ("one", "two")]
    known += [series("runs", (HOUR, 3), phase="Complete", reason="RunComplete", pod=pod) for pod in "ab"]
    [age] = ask(known, *panels("desk-a", ".*")["Hours since the last success"])
    assert [one["labels"] for one in age["found"]] == [{"namespace": "desk-a", "series": "nightly"}]
    [count] = ask(known, *panels(".*", ".*")["Runs by phase"])
    assert [one["value"] for one in count["found"]] == [3]

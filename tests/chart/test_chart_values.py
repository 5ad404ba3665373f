"""The rendered chart: least privilege, known settings, and wrong values refused by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.schedule.parse_schedule import parse_schedule
from qlib_shadow_operator.settings import Settings, read_settings
from testcluster.commands import run
from testcluster.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

Render = Any
Install = Any
MANIFESTS = Path(__file__).parents[2] / "manifests"
CHART = Path(__file__).parents[2] / "helm/qlib-shadow-operator"
OPERATOR = ("Deployment", "research/us-qlib-shadow-operator")
NIGHTLY: dict[str, Any] = {
    "name": "nightly",
    "cron": "30 18 * * 1-5",
    "run": {"spec": {"dataset": {"source": {"synthetic": {}}}}},
}
pytestmark = pytest.mark.cluster


def environment(deployment: dict[str, Any]) -> dict[str, str]:
    """Return the variables of the operator, each of which appears once."""
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    found = {one["name"]: one["value"] for one in container["env"]}
    assert len(found) == len(container["env"])
    return found


def test_the_chart_passes_helms_own_check(helm: Path):
    """Without a warning."""
    assert "0 chart(s) failed" in run(helm, "lint", "--strict", CHART)


def test_default_values_equal_the_operators_defaults(render: Render):
    """Unchanged values equal unset ones."""
    settings = read_settings(environment(render()[OPERATOR]))
    assert settings == Settings(namespaces=("research",), defaults=Defaults())


def test_every_operator_value_is_passed_on(render: Render):
    """As its own settings, with numbers as they were written."""
    objects = render(
        namespaces=["a", "b"],
        operator={"workers": 3, "resyncSeconds": 60, "logLevel": "DEBUG", "logFormat": "text"},
        runner={
            "image": {
                "registry": "registry.example",
                "digest": f"sha256:{'0' * 64}",
                "pullSecrets": ["one", "two"],
            },
            "uid": 1000650000,
            "gid": 1000650001,
            "proxies": {"HTTPS_PROXY": "http://proxy.example:3128"},
            "featuresCacheBytes": 21474836480,
            "stages": {
                "qrun": {"retries": 0, "deadlineSeconds": 60, "resources": {"limits": {"memory": "1Gi"}}}
            },
        },
        storage={"claimName": "research-data"},
    )
    settings = read_settings(environment(objects[OPERATOR]))
    assert settings.namespaces == ("a", "b")
    assert (settings.workers, settings.resync_seconds, settings.log_level) == (3, 60, "DEBUG")
    defaults = settings.defaults
    assert defaults.image == f"registry.example/qlib-runner@sha256:{'0' * 64}"
    assert defaults.image_pull_secrets == ("one", "two")
    assert (defaults.uid, defaults.gid, defaults.claim_name) == (1000650000, 1000650001, "research-data")
    assert defaults.features_cache_bytes == "21474836480"
    assert defaults.proxies == {"HTTPS_PROXY": "http://proxy.example:3128"}
    [qrun] = [of for stage, of in defaults.stages.items() if stage == "qrun"]
    assert (qrun.retries, qrun.active_deadline_seconds) == (0, 60)


def test_numbers_are_written_as_in_the_file(render: Render):
    """Large numbers, too, which YAML parses as floats: 4e+09 is not a size."""
    great = 4_000_000_000
    objects = render(
        operator={"env": {"TIMES": 1_000_000, "DEBUGGING": True}},
        runner={
            "workSize": great,
            "sharedMemorySize": 10**17,
            "stages": {"qrun": {"resources": {"limits": {"memory": great, "cpu": 0.5}}}},
        },
        storage={"size": great},
        metrics={"prometheusRule": {"enabled": True, "noSuccessHours": 1_000_000, "staleDatasetDays": 0.5}},
        schedules=[NIGHTLY],
    )
    variables = environment(objects[OPERATOR])
    defaults = read_settings({**variables, "TIMES": ""}).defaults
    assert (defaults.work_size, defaults.shared_memory_size) == (str(great), str(10**17))
    [qrun] = [of for stage, of in defaults.stages.items() if stage == "qrun"]
    assert qrun.resources["limits"] == {"memory": great, "cpu": 0.5}
    assert (variables["TIMES"], variables["DEBUGGING"]) == ("1000000", "true")
    claim = objects["PersistentVolumeClaim", "research/qlib-shadow-data"]["spec"]
    assert claim["resources"]["requests"]["storage"] == great
    rules = json.dumps(objects["PrometheusRule", "research/us-qlib-shadow-operator"]["spec"])
    for said in ("> 1000000 * 3600", "more than 1000000 hours", "> 0.5 * 86400", "more than 0.5 days"):
        assert said in rules


def test_users_variable_overrides_the_charts(render: Render):
    """And appears once: server-side apply refuses duplicates."""
    own = {"QLIB_SHADOW_LOG_LEVEL": "DEBUG", "QLIB_SHADOW_WORKERS": 3}
    settings = read_settings(environment(render(operator={"env": own})[OPERATOR]))
    assert (settings.log_level, settings.workers, settings.log_format) == ("DEBUG", 3, "json")


@pytest.mark.parametrize("namespaces", [[], ["a", "b"]], ids=["its own namespace", "others"])
def test_rights_claims_and_policies_are_where_runs_are(render: Render, namespaces: list[str]):
    """In each namespace of runs, for the operator in its own."""
    objects = render(namespaces=namespaces)
    for namespace in namespaces or ["research"]:
        role = objects["Role", f"{namespace}/us-qlib-shadow-operator"]
        assert role["rules"] == yaml.safe_load((MANIFESTS / "rbac/role.yaml").read_text())["rules"]
        binding = objects["RoleBinding", f"{namespace}/us-qlib-shadow-operator"]
        [subject] = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == ("us-qlib-shadow-operator", "research")
        assert ("PersistentVolumeClaim", f"{namespace}/qlib-shadow-data") in objects
        policy = objects["NetworkPolicy", f"{namespace}/us-qlib-shadow-operator-qrun"]
        assert policy["spec"] == yaml.safe_load((MANIFESTS / "network-policy/qrun.yaml").read_text())["spec"]
    assert not [kind for kind, _ in objects if kind.startswith("ClusterRole")]


@pytest.mark.parametrize("where", ["its namespaces", "all"])
def test_rbac_create_false_creates_no_rights(render: Render, where: str):
    """Neither for the operator nor for schedules, trial and pages; the accounts exist, to be bound."""
    values = {"schedules": [NIGHTLY], "ui": {"enabled": True, "showResources": True}}
    objects = render(rbac={"create": False}, clusterWide=where == "all", **values)
    assert not [kind for kind, _ in objects if "Role" in kind]
    for account in ("", "-schedule", "-trial", "-ui"):
        assert ("ServiceAccount", f"research/us-qlib-shadow-operator{account}") in objects


def test_cluster_wide_is_one_role_and_no_namespaces(render: Render):
    """Its name contains the release's namespace, because another release may have the same name elsewhere."""
    objects = render(clusterWide=True)
    assert read_settings(environment(objects[OPERATOR])).namespaces == ()
    assert ("ClusterRole", "research-us-qlib-shadow-operator") in objects
    assert ("ClusterRoleBinding", "research-us-qlib-shadow-operator") in objects
    assert not [place for kind, place in objects if kind == "Role" and not place.endswith("-trial")]


def test_crd_and_claim_survive_the_release(render: Render):
    """The release deletes neither runs nor their data unless it is told to."""
    objects = render()
    for kind, place in (
        ("CustomResourceDefinition", "qlibshadowruns.qlibshadow.io"),
        ("PersistentVolumeClaim", "research/qlib-shadow-data"),
    ):
        assert objects[kind, place]["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    told = render(storage={"keep": False}, crd={"keep": False})
    assert "annotations" not in told["PersistentVolumeClaim", "research/qlib-shadow-data"]["metadata"]
    assert "annotations" not in told["CustomResourceDefinition", "qlibshadowruns.qlibshadow.io"]["metadata"]


def test_the_crd_is_the_manifests(render: Render):
    """Field by field; it can also be managed elsewhere."""
    place = ("CustomResourceDefinition", "qlibshadowruns.qlibshadow.io")
    manifest = yaml.safe_load((MANIFESTS / "crd/qlibshadowruns.yaml").read_text())
    assert render()[place]["spec"] == manifest["spec"]
    assert place not in render(crd={"manage": "never"})


def test_unmanaged_crd_needs_no_cluster_rights(install: Install):
    """The CRD is not even looked up; `manage` needs the right to do so."""
    assert "kind: CustomResourceDefinition" not in install(crd={"manage": "never"})
    with pytest.raises(CommandError, match=r"customresourcedefinitions.* is forbidden"):
        install()


def test_a_schedule_is_the_sample_with_its_own_values(render: Render):
    """The operator's own parser reads its run; the kubelet does not expand a dollar sign."""
    run_spec = {
        "metadata": {"labels": {"team": "quant"}, "annotations": {"cost": "$(FREE)"}},
        **NIGHTLY["run"],
    }
    objects = render(
        namespaces=["research", "b"],
        schedules=[
            {
                **NIGHTLY,
                "run": run_spec,
                "timeZone": "America/New_York",
                "keepFinished": 3,
                "concurrencyPolicy": "Replace",
            },
            {**NIGHTLY, "name": "weekly", "namespace": "b", "suspend": True, "startingDeadlineSeconds": 60},
        ],
        operator={"image": {"tag": "9.9.9"}},
    )
    nightly = objects["CronJob", "research/nightly"]["spec"]
    assert (nightly["schedule"], nightly["timeZone"]) == ("30 18 * * 1-5", "America/New_York")
    pod = nightly["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["image"] == "qlib-shadow-operator:9.9.9"
    assert pod["serviceAccountName"] == "us-qlib-shadow-operator-schedule"
    [text] = [one["value"] for one in container["env"] if one["name"] == "QLIB_SHADOW_SCHEDULE"]
    schedule = parse_schedule(text.replace("$$", "$"))
    assert (schedule.name, schedule.keep_finished, schedule.concurrency) == ("nightly", 3, "Replace")
    assert (schedule.labels, schedule.annotations) == ({"team": "quant"}, {"cost": "$(FREE)"})
    assert "$$(FREE)" in text
    weekly = objects["CronJob", "b/weekly"]["spec"]
    assert (weekly["suspend"], weekly["startingDeadlineSeconds"]) == (True, 60)
    for namespace in ("research", "b"):
        assert ("Role", f"{namespace}/us-qlib-shadow-operator-schedule") in objects


def test_a_schedule_is_where_runs_are(render: Render, install: Install):
    """In the first of the namespaces, which need not be the release's own; the notes say the same."""
    values: dict[str, Any] = {"namespaces": ["desk-a", "desk-b"], "schedules": [NIGHTLY]}
    for wide in (False, True):
        objects = render(clusterWide=wide, **values)
        assert [place for kind, place in objects if kind == "CronJob"] == ["desk-a/nightly"]
        assert ("Role", "desk-a/us-qlib-shadow-operator-schedule") in objects
    assert "-n desk-a job --from=cronjob/nightly" in install(crd={"manage": "never"}, **values)


def test_schedule_in_an_unwatched_namespace_is_refused(render: Render):
    """Its runs would never start; a cluster-wide operator sees them anywhere."""
    elsewhere = [{**NIGHTLY, "namespace": "b"}]
    refusal = (
        "the schedule nightly would make its runs in b, but only desk-a is watched; "
        "write namespaces: [desk-a, b], or another namespace in the schedule"
    )
    with pytest.raises(CommandError, match=re.escape(refusal)):
        render(namespaces=["desk-a"], schedules=elsewhere)
    assert ("CronJob", "b/nightly") in render(namespaces=["desk-a"], schedules=elsewhere, clusterWide=True)


def test_labels_and_annotations_are_on_everything(render: Render):
    """The user's, too, also on pods."""
    objects = render(
        commonLabels={"team": "quant"},
        commonAnnotations={"owner": "desk"},
        schedules=[NIGHTLY],
        metrics={name: {"enabled": True} for name in ("serviceMonitor", "prometheusRule", "dashboard")},
    )
    for place, one in objects.items():
        assert one["metadata"]["labels"]["team"] == "quant", place
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == "us", place
        assert one["metadata"]["annotations"]["owner"] == "desk", place


def alerts(render: Render, rule: dict[str, Any] | None = None, **values: Any) -> dict[str, dict[str, Any]]:
    """Return the alerts of a release, by their names."""
    objects = render(metrics={"prometheusRule": {"enabled": True, **(rule or {})}}, **values)
    [group] = objects["PrometheusRule", "research/us-qlib-shadow-operator"]["spec"]["groups"]
    return {one["alert"]: one for one in group["rules"]}


def test_stopped_schedule_alerts(render: Render):
    """A run without a schedule is not missed, unless a regular expression includes it."""
    beyond = ("LedgerBeyondPromise", "LedgerBeyondTracking")
    ledger = ("LedgerGateClosed", "LedgerNightLost", "LedgerDrawdown", *beyond)
    names = ("RunFailed", "ModelDrifts", "ModelDecayed", *ledger, "OperatorStuck", "OperatorGone")
    always = {f"QlibShadow{name}" for name in names}
    assert set(alerts(render)) == always
    scheduled = alerts(render, {"noSuccessHours": 30}, schedules=[NIGHTLY, {**NIGHTLY, "name": "weekly"}])
    assert scheduled["QlibShadowNoSuccess"]["expr"] == (
        "time() - max by (namespace, series) (max_over_time(qlib_shadow_last_success_timestamp_seconds"
        '{namespace=~"research", series=~"nightly|weekly"}[108000s])) > 30 * 3600'
    )
    others = alerts(render, {"series": "us-.+"})
    assert 'series=~"us-.+"' in others["QlibShadowDatasetStale"]["expr"]
    assert set(others) == {
        *always,
        "QlibShadowNoSuccess",
        "QlibShadowDatasetStale",
        "QlibShadowLedgerStale",
    }


def test_schedule_that_never_succeeds_alerts_in_time(render: Render):
    """It has the same time as one that has stopped; suspended and excluded schedules are not missed."""
    schedules = [NIGHTLY, {**NIGHTLY, "name": "weekly"}, {**NIGHTLY, "name": "later", "suspend": True}]
    known = "absent(qlib_shadow_last_success_timestamp_seconds"
    nightly, weekly = (f'{known}{{namespace="research", series="{name}"}})' for name in ("nightly", "weekly"))
    missed = alerts(render, {"noSuccessHours": 0.5}, schedules=schedules)["QlibShadowNoSuccessKnown"]
    assert (missed["expr"], missed["for"]) == (f"{nightly} or {weekly}", "1800s")
    some = alerts(render, {"series": "us-.+|night.*"}, schedules=schedules)
    assert some["QlibShadowNoSuccessKnown"]["expr"] == nightly
    assert "QlibShadowNoSuccessKnown" not in alerts(render, schedules=schedules[2:])


def test_a_pod_monitor_finds_the_operators_port(render: Render):
    """By the labels of the pod and the name of its port."""
    objects = render(metrics={"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}})
    monitor = objects["PodMonitor", "research/us-qlib-shadow-operator"]
    template = objects[OPERATOR]["spec"]["template"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in [port["name"] for port in template["spec"]["containers"][0]["ports"]]


def test_a_service_monitor_finds_its_service(render: Render):
    """By the labels of the Service, which selects the pod by the pod's labels."""
    objects = render(metrics={"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}})
    service = objects["Service", "research/us-qlib-shadow-operator"]
    monitor = objects["ServiceMonitor", "research/us-qlib-shadow-operator"]
    template = objects[OPERATOR]["spec"]["template"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    [endpoint], [port] = monitor["spec"]["endpoints"], service["spec"]["ports"]
    assert endpoint["port"] == port["name"]
    assert port["targetPort"] in [one["name"] for one in template["spec"]["containers"][0]["ports"]]
    assert [kind for kind, _ in render() if kind in {"Service", "ServiceMonitor", "PodMonitor"}] == []


def test_two_monitors_are_refused(render: Render):
    """One monitor or the other."""
    both = {name: {"enabled": True} for name in ("podMonitor", "serviceMonitor")}
    with pytest.raises(CommandError, match="would count everything twice; enable one of them"):
        render(metrics=both)


def test_the_dashboard_is_json(render: Render):
    """As Grafana's sidecar reads it."""
    data = render(metrics={"dashboard": {"enabled": True}})[
        "ConfigMap", "research/us-qlib-shadow-operator-dashboard"
    ]
    panels = json.loads(data["data"]["qlib-shadow.json"])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 8


def pods(objects: Any) -> list[dict[str, Any]]:
    """Return the pods of the operator, of a schedule, and of the trial."""
    return [
        objects[OPERATOR]["spec"]["template"]["spec"],
        objects["CronJob", "research/nightly"]["spec"]["jobTemplate"]["spec"]["template"]["spec"],
        objects["Pod", "research/us-qlib-shadow-operator-trial"]["spec"],
    ]


def test_placement_applies_to_every_pod(render: Render):
    """Priority, nodes, tolerations, affinity and spread, for every pod."""
    placement: dict[str, Any] = {
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
    }
    objects = render(
        operator={**placement, "podLabels": {"a": "b"}, "podAnnotations": {"c": "d"}}, schedules=[NIGHTLY]
    )
    for pod in pods(objects):
        assert {name: pod[name] for name in placement} == placement
    for pod in pods(render(schedules=[NIGHTLY])):
        assert not placement.keys() & pod.keys()
    template = objects[OPERATOR]["spec"]["template"]
    assert template["metadata"]["labels"]["a"] == "b"
    assert template["metadata"]["annotations"] == {"c": "d"}


def test_every_pod_is_restricted(render: Render):
    """Of the operator, of schedules, and of the trial."""
    for pod in pods(render(schedules=[NIGHTLY])):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"namespace": ["a"]}, "namespace"),
        ({"operator": {"image": {"tags": "1"}}}, "tags"),
        ({"operator": {"workers": 0}}, "workers"),
        ({"operator": {"logLevel": "LOUD"}}, "logLevel"),
        ({"runner": {"uid": 0}}, "uid"),
        ({"runner": {"stages": {"train": {}}}}, "train"),
        ({"runner": {"stages": {"qrun": {"resources": {"limits": {"memory": "8 Gi"}}}}}}, "memory"),
        ({"runner": {"workSize": -1}}, "workSize"),
        ({"storage": {"size": "big"}}, "size"),
        ({"storage": {"accessModes": []}}, "accessModes"),
        ({"crd": {"manage": True}}, "manage"),
        ({"schedules": [{"name": "nightly"}]}, "cron"),
        ({"schedules": [{**NIGHTLY, "timezone": "UTC"}]}, "timezone"),
        ({"schedules": [{**NIGHTLY, "name": "Nightly"}]}, "name"),
        ({"schedules": [{**NIGHTLY, "run": {"dataset": {}}}]}, "dataset"),
        ({"runner": {"proxies": {"https_proxy": "x"}}}, "https_proxy"),
        ({"runner": {"image": {"digest": "sha256:abc"}}}, "digest"),
        ({"operator": {"image": {"registry": "registry.example/"}}}, "registry"),
        ({"operator": {"priorityClassName": ["high"]}}, "priorityClassName"),
        ({"operator": {"topologySpreadConstraints": {"maxSkew": 1}}}, "topologySpreadConstraints"),
        ({"metrics": {"serviceMonitor": {"interval": 30}}}, "interval"),
        ({"metrics": {"prometheusRule": {"noSuccessHours": 0}}}, "noSuccessHours"),
        ({"storage": {"claimName": "My_Claim"}}, "claimName"),
        ({"namespaces": ["a", "a"]}, "namespaces"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:40],
)
def test_a_wrong_value_is_refused_by_name(render: Callable[..., Any], values: dict[str, Any], said: str):
    """Before anything is installed."""
    with pytest.raises(CommandError, match="values don't meet the specifications of the schema") as refusal:
        render(**values)
    assert said in str(refusal.value)

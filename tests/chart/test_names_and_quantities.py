"""Names and quantities that the API server would refuse are refused before anything is installed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_operator.settings import QUANTITY
from testcluster.errors import CommandError

if TYPE_CHECKING:
    from testcluster import Cluster

Render = Any
SCHEMA = Path(__file__).parents[2] / "helm/qlib-shadow-operator/values.schema.json"
SCHEDULE: dict[str, Any] = {"name": "nightly", "cron": "30 18 * * 1-5", "run": {"spec": {}}}
WRITTEN = """
    1 0 0.5 .5 5. +1 100m 1.5Gi 524288Ki 1k 1M 1G 1T 1P 1E 1Ki 1Mi 1Ti 1Pi 1Ei 1e3 1E3 1e-3 1e+3 5u 5n
    524288ki 1K 1g 1gi 1GiB 1mi 1MB -1 Gi . 1.2.3 1e 1_0
"""
TIMES = (
    *(
        "* * * * *",
        "? ? ? ? ?",
        "0 0 1 1 0",
        "59 23 31 12 6",
        "05 07 09 08 06",
        "*/15 */2 * * *",
        "@midnight",
    ),
    *("0-29/5,45 6-18 1,15 JAN-mar,7 mon-FRI", "10/20 9 * * *", "0  9 * * Sun", "30 18 * * 1-5"),
    *(
        "99 9 * * *",
        "60 0 * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 32 * *",
        "0 0 * 0 *",
        "0 0 * 13 *",
        "0 0 * * 7",
    ),
    *(
        "0 9 * *",
        "0 9 * * * *",
        "",
        "0 9 * * monday",
        "0 9 * may-x *",
        "*/0 * * * *",
        "1,,2 * * * *",
        "-1 * * * *",
    ),
    *("@never", "0 9 L * *", "mon 9 * * *", "0 9 * * 1-", "1-2-3 * * * *", "0 9 * * 1#2"),
)
QUANTITIES = (*re.findall(r"\S+", WRITTEN), "1 Gi", " 1", "")
pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("us", {}, "us-qlib-shadow-operator"),
        ("qlib-shadow", {}, "qlib-shadow-operator"),
        ("qlib", {}, "qlib-shadow-operator"),
        ("qlib-shadow-operator", {}, "qlib-shadow-operator"),
        ("qlib-shadow-operator-eu", {}, "qlib-shadow-operator-eu"),
        ("qlibs", {}, "qlibs-qlib-shadow-operator"),
        ("us", {"nameOverride": "quant"}, "us-quant"),
        ("us", {"fullnameOverride": "quant"}, "quant"),
        ("u" * 45, {}, f"{'u' * 45}-qlib"),
    ],
)
def test_names_do_not_repeat_themselves(render: Render, release: str, values: dict[str, Any], name: str):
    """As with the charts of `helm create`, and also when the chart's name begins with the release's."""
    objects = render(release, ui={"enabled": True}, **values)
    assert ("Deployment", f"research/{name}") in objects
    assert ("Service", f"research/{name}-ui") in objects


@pytest.mark.parametrize(
    ("release", "values", "named"),
    [
        ("us", {"fullnameOverride": "My_Op"}, "value fullnameOverride makes the name My_Op"),
        ("us", {"fullnameOverride": "a/b"}, "the name a/b"),
        ("us", {"fullnameOverride": "op-"}, "the name op-"),
        ("us", {"fullnameOverride": "o" * 51}, f"the name {'o' * 51}"),
        ("us", {"nameOverride": "Op"}, "release us makes the name us-Op"),
        ("us.east", {}, "release us.east makes the name us.east-qlib-shadow-operator"),
        ("1st", {}, "release 1st makes the name 1st-qlib-shadow-operator"),
    ],
)
def test_name_that_kubernetes_refuses_is_refused(
    render: Render, release: str, values: dict[str, Any], named: str
):
    """Halfway through an installation, some objects would be there and others not."""
    with pytest.raises(CommandError) as refused:
        render(release, **values)
    sentence = f"{named}, which Kubernetes refuses for some object; write a fullnameOverride of at most 50"
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"namespaces": ["a.b"]}, "namespaces"),
        ({"storage": {"claimName": "a..b"}}, "claimName"),
        ({"storage": {"storageClass": "Fast"}}, "storageClass"),
        ({"storage": {"size": "0Gi"}}, "size"),
        ({"serviceAccount": {"name": "a.-b"}}, "name"),
        ({"operator": {"priorityClassName": "High"}}, "priorityClassName"),
        ({"operator": {"podLabels": {"team": "two words"}}}, "podLabels"),
        ({"operator": {"podAnnotations": {"a b": ""}}}, "a b"),
        ({"operator": {"image": {"pullSecrets": ["a."]}}}, "pullSecrets"),
        ({"commonLabels": {"app.kubernetes.io/instance": "eu"}}, "commonLabels"),
        ({"schedules": [{**SCHEDULE, "cron": "30 18 * *"}]}, "cron"),
        *(({"schedules": [{**SCHEDULE, "cron": one}]}, "cron") for one in ("99 9 * * *", "0 24 * * 1-5")),
        ({"prune": {"cron": "0 6 * * 7"}}, "cron"),
        ({"schedules": [{**SCHEDULE, "namespace": "B"}], "clusterWide": True}, "namespace"),
        ({"runner": {"stages": {"qrun": {"resources": {"limits": {"memory": "524288ki"}}}}}}, "memory"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:40],
)
def test_value_that_the_api_server_refuses_is_refused_by_name(
    render: Render, values: dict[str, Any], said: str
):
    """By the schema."""
    with pytest.raises(CommandError, match="values don't meet the specifications of the schema") as refused:
        render(**values)
    assert said in str(refused.value)


def test_what_the_api_server_accepts_is_accepted(render: Render):
    """Kibibytes, exponents, and a schedule by its short name."""
    objects = render(
        storage={"size": "524288Ki"},
        operator={"resources": {"limits": {"memory": "1e9", "cpu": ".5"}}},
        schedules=[{**SCHEDULE, "cron": "@daily"}],
    )
    claim = objects["PersistentVolumeClaim", "research/qlib-shadow-data"]["spec"]
    assert claim["resources"]["requests"]["storage"] == "524288Ki"
    assert objects["CronJob", "research/nightly"]["spec"]["schedule"] == "@daily"


def test_quantities_are_the_api_servers(cluster: Cluster):
    """The schema, and the operator for what the chart passes on, accept what a real one accepts."""
    quotas = [
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": f"q{number}", "namespace": "default"},
            "spec": {"hard": {"limits.cpu": quantity}},
        }
        for number, quantity in enumerate(QUANTITIES)
    ]
    given = "\n---\n".join(map(json.dumps, quotas))
    said = cluster.kubectl("create", "--dry-run=server", "-o=name", "-f-", input=given, check=False)
    taken = [QUANTITIES[int(number)] for number in re.findall(r"resourcequota/q(\d+)", said)]
    assert [one for one in taken if not re.match(r"\S*\d", one)] == ["Gi", ".", " 1"], "and are refused here"
    taken = [one for one in taken if re.match(r"\S*\d", one)]
    pattern = json.loads(SCHEMA.read_text())["definitions"]["quantity"]["pattern"]
    assert [one for one in QUANTITIES if re.search(pattern, one)] == taken
    assert [one for one in QUANTITIES if re.fullmatch(QUANTITY, one)] == taken


def test_times_of_a_schedule_are_the_api_servers(cluster: Cluster):
    """The schema accepts what a real one accepts."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
    jobs = [
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": f"t{number}", "namespace": "default"},
            "spec": {"schedule": time, "jobTemplate": {"spec": {"template": {"spec": pod}}}},
        }
        for number, time in enumerate(TIMES)
    ]
    given = "\n---\n".join(map(json.dumps, jobs))
    said = cluster.kubectl("create", "--dry-run=server", "-o=name", "-f-", input=given, check=False)
    taken = [TIMES[int(number)] for number in re.findall(r"cronjob.batch/t(\d+)", said)]
    pattern = json.loads(SCHEMA.read_text())["definitions"]["cron"]["pattern"]
    assert [one for one in taken if not re.search(pattern, one)] == ["1,,2 * * * *"], "and is refused here"
    assert [one for one in TIMES if re.search(pattern, one) and one not in taken] == []

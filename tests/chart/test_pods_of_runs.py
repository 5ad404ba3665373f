"""The values of `runs` and `allowed`: passed on as they are, and refused by name where they are wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.contract.wrong_forms import RIGHT, SPREAD, nodes

from qlib_shadow_operator.runs.allowed import Allowed
from qlib_shadow_operator.settings import read_settings
from qlib_shadow_runner.contract.fields import fields_of
from testcluster.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_operator.runs.defaults import Defaults

Render = Any
OPERATOR = ("Deployment", "research/us-qlib-shadow-operator")
PODS: dict[str, Any] = RIGHT["every setting of a pod"]["stages"]["download"]
ENTRIES = {one.key for one in fields_of(Allowed)} - {"secrets"}
SECRET = {"name": "login*", "url": "https://data.example/us/"}
pytestmark = pytest.mark.cluster


def defaults_of(objects: dict[tuple[str, str], Any]) -> Defaults:
    """Return what the operator reads, after the kubelet has replaced $$ by $."""
    [container] = objects[OPERATOR]["spec"]["template"]["spec"]["containers"]
    return read_settings({one["name"]: one["value"].replace("$$", "$") for one in container["env"]}).defaults


def test_settings_of_pods_are_passed_on(render: Render):
    """All of them, also a text that the kubelet would expand."""
    given = {**PODS, "annotations": {"example.com/a": "$(HOME) <&>"}}
    found = defaults_of(render(runs={**given, "jobTtlSeconds": 0}))
    assert (
        json.loads(
            json.dumps({one.key: getattr(found.pods, one.name) for one in fields_of(type(found.pods))})
        )
        == given
    )
    assert found.job_ttl_seconds == 0
    assert defaults_of(render(runs={"jobTtlSeconds": 4_000_000})).job_ttl_seconds == 4_000_000


def test_what_is_allowed_is_passed_on(render: Render):
    """Every list of it."""
    given = {name: [f"r.example/{name}*", "*"] for name in ENTRIES}
    found = defaults_of(render(allowed={**given, "secrets": [SECRET]})).allowed
    assert {one.key: list(getattr(found, one.name)) for one in fields_of(Allowed)} | {"secrets": []} == {
        **given,
        "secrets": [],
    }
    [secret] = found.secrets
    assert {"name": secret.name, "url": secret.url} == SECRET


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"allowed": {"secret": []}}, "secret"),
        ({"allowed": {"secrets": ["login"]}}, "secrets"),
        ({"allowed": {"secrets": [{"name": "login"}]}}, "url"),
        ({"allowed": {"secrets": [{**SECRET, "url": "http://data.example/"}]}}, "url"),
        ({"allowed": {"images": ["registry.example*"]}}, "images"),
        *(({"allowed": {name: ["a*b"]}}, name) for name in sorted(ENTRIES)),
        ({"runs": {"hostNetwork": True}}, "hostNetwork"),
        ({"runs": {"affinity": {"nodeAffinities": {}}}}, "nodeAffinities"),
        ({"runs": {"affinity": nodes({"operator": "Exists"})}}, "key"),
        ({"runs": {"tolerations": [{"key": "a", "effect": "Never"}]}}, "effect"),
        ({"runs": {"topologySpreadConstraints": [{**SPREAD, "maxSkew": 0}]}}, "maxSkew"),
        ({"runs": {"labels": {"a b": "c"}}}, "a b"),
        ({"runs": {"annotations": {"a": 1}}}, "annotations"),
        ({"runs": {"nodeSelector": {"a": True}}}, "nodeSelector"),
        ({"runs": {"env": {"A-B": "1"}}}, "A-B"),
        ({"runs": {"priorityClassName": "High!"}}, "priorityClassName"),
        ({"runs": {"runtimeClassName": ["a"]}}, "runtimeClassName"),
        ({"runs": {"serviceAccountName": "A"}}, "serviceAccountName"),
        ({"runs": {"jobTtlSeconds": "1d"}}, "jobTtlSeconds"),
        ({"runs": {"jobTtlSeconds": -1}}, "jobTtlSeconds"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:60],
)
def test_a_wrong_value_is_refused_by_name(render: Callable[..., Any], values: dict[str, Any], said: str):
    """Before anything is installed."""
    with pytest.raises(CommandError, match="values don't meet the specifications of the schema") as refusal:
        render(**values)
    assert said in str(refusal.value)

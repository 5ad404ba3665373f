"""The values of `runs` and `allowed`: passed on as they are, and refused by name where they are wrong."""

from __future__ import annotations

import json
import re
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


def expanded(text: str) -> str:
    """Return a variable's value as the kubelet passes it on: $$ is $, and $(NAME) another variable."""
    return re.sub(r"\$(\$|\(\w+\))", lambda found: "$" if found[1] == "$" else "", text)


def defaults_of(objects: dict[tuple[str, str], Any]) -> Defaults:
    """Return what the operator reads."""
    [container] = objects[OPERATOR]["spec"]["template"]["spec"]["containers"]
    return read_settings({one["name"]: expanded(one["value"]) for one in container["env"]}).defaults


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


def test_what_only_an_installer_may_give_is_passed_on(render: Render):
    """A sidecar is switched off, a certificate is trusted, every taint is tolerated."""
    given: dict[str, Any] = {
        "labels": {"sidecar.istio.io/inject": "false"},
        "annotations": {"linkerd.io/inject": "disabled"},
        "env": {"SSL_CERT_FILE": "/etc/ca.pem", "QLIB": "", "TZDIR": "/data/zones"},
        "tolerations": [{"operator": "Exists"}, {"key": "a", "operator": "Exists", "value": ""}],
    }
    pods = defaults_of(render(runs=given)).pods
    found = {name: getattr(pods, name) for name in given}
    assert json.loads(json.dumps(found)) == given


def test_dollar_sign_is_not_expanded_by_the_kubelet(render: Render):
    """A password may contain what looks like a variable's name, and an entry, too."""
    proxies = {"HTTPS_PROXY": "http://me:a$(HOME)b@proxy.example:3128"}
    found = defaults_of(render(runner={"proxies": proxies}, allowed={"env": ["$(HOME)"]}))
    assert found.proxies == proxies
    assert found.allowed.env == ("$(HOME)",)


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
        ({"runs": {"labels": {"team": "a b"}}}, "team"),
        ({"runs": {"labels": {"qlibshadow.io/run": "a"}}}, "qlibshadow.io/run"),
        ({"runs": {"annotations": {"kueue.x-k8s.io/queue-name": "a"}}}, "kueue.x-k8s.io/queue-name"),
        ({"runs": {"nodeSelector": {"pool": "a b"}}}, "pool"),
        ({"runs": {"nodeSelector": {"a b": "pool"}}}, "a b"),
        ({"runs": {"env": {"HTTPS_PROXY": "http://proxy.example"}}}, "HTTPS_PROXY"),
        ({"runs": {"env": {"QLIB_SHADOW_X": "1"}}}, "QLIB_SHADOW_X"),
        ({"runs": {"env": {"A": "1" * 1025}}}, "env"),
        ({"runs": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}}, "tolerations"),
        ({"runs": {"tolerations": [{"effect": "NoExecute"}]}}, "tolerations"),
        ({"runs": {"tolerations": [{"key": "a", "tolerationSeconds": 1}]}}, "tolerations"),
        ({"runs": {"affinity": nodes({"key": "a b", "operator": "Exists"})}}, "matchExpressions"),
        ({"runs": {"affinity": nodes({"key": "a", "operator": "In"})}}, "matchExpressions"),
        (
            {"runs": {"affinity": nodes({"key": "a", "operator": "Exists", "values": ["b"]})}},
            "matchExpressions",
        ),
        ({"runs": {"topologySpreadConstraints": [{**SPREAD, "topologyKey": "a b"}]}}, "topologyKey"),
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

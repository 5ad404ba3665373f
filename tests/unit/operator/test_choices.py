"""What a run may choose: nothing by default, what the installer lists, and one sentence otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.contract.wrong_forms import NEAR, SPREAD, nodes
from tests.unit.operator.documents import a_run_document

from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_operator.runs.choices import choices, refusal
from qlib_shadow_operator.runs.defaults import Defaults
from qlib_shadow_operator.settings import read_settings
from qlib_shadow_runner.contract.fields import fields_of
from qlib_shadow_runner.contract.spec.jobs import OpenStageSpec
from qlib_shadow_runner.contract.spec.pods import OpenPodSettings

FEED = {"name": "feed", "url": "https://data.example/us/"}


def refused(spec: dict[str, Any], **allowed: Any) -> str | None:
    """Return the sentence about a run's spec, as the settings and the API server's document give it."""
    settings = read_settings({"QLIB_SHADOW_ALLOWED": json.dumps(allowed)}) if allowed else read_settings({})
    return refusal(parse_run(a_run_document(spec=spec)), settings.defaults)


def fetched(url: str, secret: str = "feed", **more: Any) -> dict[str, Any]:
    """Return the spec of a run that sends a Secret to an address."""
    archive = {"url": url, "sha256": "0" * 64, "credentialsSecret": secret}
    return {"dataset": {"source": {"archive": archive}}, **more}


def on(stage: str, **settings: Any) -> dict[str, Any]:
    """Return a spec with settings of a stage's pod."""
    return {"stages": {stage: settings}}


ASKED: dict[str, tuple[dict[str, Any], str, str, Any]] = {
    "an image": ({"image": "evil/x:1"}, "spec.image", "evil/x:1", {"images": ["evil/*"]}),
    "a claim": (
        {"storage": {"claimName": "ledger"}},
        "spec.storage.claimName",
        "ledger",
        {"claims": ["ledger"]},
    ),
    "a registry's Secret": (
        {"imagePullSecrets": [{"name": "registry"}]},
        "spec.imagePullSecrets",
        "registry",
        {"pullSecrets": ["reg*"]},
    ),
    "a node's label": (
        on("qrun", nodeSelector={"disk": "ssd"}),
        "spec.stages.qrun.nodeSelector",
        "disk",
        {"nodeLabels": ["disk"]},
    ),
    "a node's label in an affinity": (
        on("download", affinity=nodes({"key": "disk", "operator": "Exists"})),
        "spec.stages.download.affinity",
        "disk",
        {"nodeLabels": ["*"]},
    ),
    "nearness to other pods": (
        on(
            "qrun",
            affinity={
                "podAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "podAffinityTerm": NEAR}
                    ]
                }
            },
        ),
        "spec.stages.qrun.affinity",
        "zone",
        {"nodeLabels": ["zone"]},
    ),
    "a spread": (
        on("qrun", topologySpreadConstraints=[SPREAD]),
        "spec.stages.qrun.topologySpreadConstraints",
        "zone",
        {"nodeLabels": ["zone"]},
    ),
    "a taint": (
        on("qrun", tolerations=[{"key": "gpu", "operator": "Exists"}]),
        "spec.stages.qrun.tolerations",
        "gpu",
        {"tolerations": ["gpu"]},
    ),
    "every taint": (
        on("qrun", tolerations=[{"operator": "Exists"}]),
        "spec.stages.qrun.tolerations",
        "*",
        {"tolerations": ["*"]},
    ),
    "an affinity without a label": (
        on("qrun", affinity={"nodeAffinity": {}}),
        "spec.stages.qrun.affinity",
        "*",
        {"nodeLabels": ["*"]},
    ),
    "an affinity to any node": (
        on("qrun", affinity=nodes()),
        "spec.stages.qrun.affinity",
        "*",
        {"nodeLabels": ["*"]},
    ),
    "a priority": (
        on("qrun", priorityClassName="high"),
        "spec.stages.qrun.priorityClassName",
        "high",
        {"priorityClasses": ["high"]},
    ),
    "a runtime": (
        on("qrun", runtimeClassName="runc"),
        "spec.stages.qrun.runtimeClassName",
        "runc",
        {"runtimeClasses": ["runc"]},
    ),
    "a label": (
        on("qrun", labels={"team": "a"}),
        "spec.stages.qrun.labels",
        "team",
        {"labels": ["team"]},
    ),
    "an annotation": (
        on("qrun", annotations={"example.com/a": "b"}),
        "spec.stages.qrun.annotations",
        "example.com/a",
        {"annotations": ["example.com/*"]},
    ),
    "an account": (
        on("download", serviceAccountName="admin"),
        "spec.stages.download.serviceAccountName",
        "admin",
        {"serviceAccounts": ["admin"]},
    ),
    "a variable": (
        on("download", env={"REGION": "eu"}),
        "spec.stages.download.env",
        "REGION",
        {"env": ["REGION"]},
    ),
}


@pytest.mark.parametrize(("spec", "where", "value", "allowed"), ASKED.values(), ids=ASKED.keys())
def test_a_run_chooses_only_what_is_listed(spec: dict[str, Any], where: str, value: str, allowed: Any):
    """The sentence says which field, what is allowed, and who can change it; a listed value is taken."""
    said = refused(spec)
    assert said is not None
    assert said.startswith(f'{where} has "{value}", but the operator allows ')
    [setting] = allowed
    assert said.endswith(
        f". Leave it out, or have it added to allowed.{setting} by those who installed the operator"
    )
    other = refused(spec, **{setting: ["other/name"]})
    assert other is not None
    assert '"other/name"' in other
    assert refused(spec, **allowed) is None


def test_every_setting_of_a_pod_is_decided_about():
    """A field that is added to the table needs a decision here."""
    free = {"resources", "activeDeadlineSeconds", "retries"}
    asked = {where.split(".")[3] for _, where, _, _ in ASKED.values() if "stages" in where}
    assert {one.key for one in fields_of(OpenPodSettings)} == asked
    assert free >= {one.key for one in fields_of(OpenStageSpec)} - asked - {"scratch"}


def test_the_operators_own_choice_needs_no_entry():
    """Its image, its claim and its Secrets for images may be written in a run."""
    own = {"QLIB_SHADOW_RUNNER_IMAGE_PULL_SECRETS": "registry"}
    defaults = read_settings(own).defaults
    spec = {
        "image": defaults.image,
        "storage": {"claimName": defaults.claim_name},
        "imagePullSecrets": [{"name": "registry"}],
    }
    run = parse_run(a_run_document(spec=spec))
    assert refusal(run, defaults) is None
    assert len(list(choices(run, defaults))) == 3


def test_settings_of_a_stage_that_a_run_has_not_are_not_decided_about():
    """A run that names its version has no download stage."""
    version = {"dataset": {"version": "3f9c0a1b2c3d"}}
    assert refused(on("download", serviceAccountName="admin") | version) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://data.example/us/prices.zip",
        "https://data.example:443/us/prices.zip?signature=a%2Fb",
        "https://DATA.example/us/a%20b.zip",
        "https://data.example/us",
    ],
)
def test_a_secret_is_sent_where_it_is_allowed(url: str):
    """To the same server, below the path of the entry."""
    assert refused(fetched(url), secrets=[FEED]) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/us/prices.zip",
        "https://data.example.evil.example/us/prices.zip",
        "https://data.example@evil.example/us/prices.zip",
        "https://evil.example\\@data.example/us/prices.zip",
        "https://data.example:8443/us/prices.zip",
        "https://data.example/eu/prices.zip",
        "https://data.example/usa/prices.zip",
        "https://data.example/us/../eu/prices.zip",
        "https://data.example/us/%2e%2E/eu/prices.zip",
        "https://data.example/us/%252e%252e/eu/prices.zip",
        "https://data.example/us/..;/eu/prices.zip",
        "https://data.example/us/..%5ceu/prices.zip",
        "https://data.example/?/us/",
        "http://data.example/us/prices.zip",
        "https://data.example:port/us/",
        "https://[data.example/us/",
        "//data.example/us/prices.zip",
    ],
)
def test_a_secret_is_sent_nowhere_else(url: str):
    """The sentence names the server, but no path, since a query may hold a signature."""
    said = refused(fetched(url), secrets=[FEED])
    assert said is not None
    assert said.startswith('spec.dataset.source.archive.credentialsSecret has "feed for ')
    assert 'allows only "feed for https://data.example/us/"' in said
    assert "prices.zip" not in said


def test_no_secret_is_sent_by_default():
    """Neither one that exists nor one that does not: the operator reads none."""
    assert refused(fetched("https://data.example/us.zip")) == (
        'spec.dataset.source.archive.credentialsSecret has "feed for https://data.example", but the operator '
        "allows none. Leave it out, or have it added to allowed.secrets by those who installed the operator"
    )


def test_a_secret_of_another_name_is_not_sent():
    """An entry is a pair, and its name may end in a *."""
    url = "https://data.example/us/prices.zip"
    assert refused(fetched(url, "database"), secrets=[FEED]) is not None
    assert refused(fetched(url, "feed-2"), secrets=[{**FEED, "name": "feed*"}]) is None
    assert refused(fetched("https://elsewhere.example/"), secrets=[{"name": "feed", "url": "*"}]) is None


def test_an_image_of_anyones_choice_is_given_no_secret():
    """Its program could send the Secret anywhere."""
    spec = fetched("https://data.example/us/a.zip", image="r.example/mine:1")
    said = refused(spec, secrets=[FEED], images=["*"])
    assert said is not None
    assert said.startswith('spec.image has "r.example/mine:1 beside a credentialsSecret", but the operator ')
    assert refused(spec, secrets=[FEED], images=["*", "r.example/*"]) is None
    assert refused({**spec, "image": Defaults().image}, secrets=[FEED]) is None


def test_a_file_on_the_volume_is_given_no_secret():
    """So there is nothing to decide about."""
    run = parse_run(
        a_run_document(
            spec={"dataset": {"source": {"archive": {"path": "us.zip", "credentialsSecret": "feed"}}}}
        )
    )
    assert run.credentials_secret is None
    assert refusal(run, Defaults()) is None


def test_a_long_list_is_shortened():
    """The sentence fits into the status."""
    said = refused({"image": "x" * 500}, images=[f"r{n}.example/{'y' * 20}" for n in range(100)])
    assert said is not None
    assert " and 96 more." in said
    assert len(said) < 900

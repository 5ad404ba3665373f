"""Wrong forms of a spec are refused, without a cluster and by a real API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.contract.wrong_forms import RIGHT, WRONG, download, qrun

from qlib_shadow_runner.contract.fields import Object
from qlib_shadow_runner.contract.place import Place
from qlib_shadow_runner.contract.spec import RunFields
from testcluster.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

    from testcluster import Cluster

CRD = Path(__file__).parents[2] / "manifests/crd/qlibshadowruns.yaml"


def sentences(spec: dict[str, Any]) -> list[str]:
    """Return what the runner says about a spec."""
    place = Place("spec")
    Object(RunFields).read(spec, place)
    return [f"{fault.where} {fault.what}" for fault in place.faults]


@pytest.mark.parametrize("spec", RIGHT.values(), ids=RIGHT.keys())
def test_a_right_form_is_taken(spec: dict[str, Any]):
    """As `qlib-shadow validate` does."""
    assert sentences(spec) == []


@pytest.mark.parametrize(("spec", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_form_is_refused(spec: dict[str, Any], words: str):
    """In one sentence that names the field."""
    [sentence] = sentences(spec)
    assert words in sentence
    assert sentence.startswith("spec.")


def test_a_gate_that_is_ignored_is_written_as_the_reference_has_it():
    """Without quotes; what YAML reads as a boolean is refused with the words that are taken."""
    text = "ledger: {book: us-shadow, gates: {liveIc: Ignored, drift: WORD}}"
    assert sentences(yaml.safe_load(text.replace("WORD", "Ignored"))) == []
    [sentence] = sentences(yaml.safe_load(text.replace("WORD", "Off")))
    assert sentence == "spec.ledger.gates.drift must be one of Calibrated, Ignored, not False"


@pytest.fixture(scope="module")
def control_plane(start_control_plane: Callable[[], Cluster]) -> Cluster:
    """Return a control plane that knows runs."""
    found = start_control_plane()
    found.kubectl("apply", "-f", str(CRD))
    found.wait_until_served("qlibshadowruns.qlibshadow.io")
    return found


def applied(cluster: Cluster, name: str, spec: dict[str, Any], *more: str) -> str:
    """Apply a run; return what the API server says, also of a refusal."""
    run = {"apiVersion": "qlibshadow.io/v1alpha1", "kind": "QlibShadowRun", "metadata": {"name": name}}
    body = json.dumps(run | {"spec": spec})
    try:
        return cluster.kubectl("apply", "--validate=strict", "-f", "-", *more, input=body)
    except CommandError as error:
        return str(error)


@pytest.mark.cluster
def test_the_api_server_takes_the_right_forms_and_refuses_the_wrong_ones(control_plane: Cluster):
    """By the schema and its rules alone, without an operator."""
    right = {name: applied(control_plane, "right", spec, "--dry-run=server") for name, spec in RIGHT.items()}
    assert {name: said for name, said in right.items() if "created (server dry run)" not in said} == {}
    wrong = {name: applied(control_plane, "wrong", spec) for name, (spec, _) in WRONG.items()}
    assert {name: said for name, said in wrong.items() if WRONG[name][1] not in said} == {}
    assert control_plane.get("qsr", "--all-namespaces").get("items", []) == []


@pytest.mark.cluster
def test_settings_of_a_pod_are_frozen_once_the_run_has_started(control_plane: Cluster):
    """But not the time that its Jobs are kept."""
    assert "created" in applied(control_plane, "begun", download(labels={"team": "a"}))
    status = json.dumps({"status": {"startTime": "2026-11-21T10:00:00Z"}})
    control_plane.kubectl(
        "patch", "qsr", "begun", "--subresource=status", "--type=merge", f"--patch={status}"
    )
    for spec in (download(labels={"team": "b"}), download(env={"A": "1"}), qrun(priorityClassName="high")):
        said = applied(control_plane, "begun", spec)
        assert "only suspend, ttlSecondsAfterFinished and jobTtlSeconds can still be changed" in said
    assert "configured" in applied(
        control_plane, "begun", download(labels={"team": "a"}) | {"jobTtlSeconds": 60}
    )
    control_plane.kubectl("delete", "qsr", "begun")

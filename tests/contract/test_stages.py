"""The table of stages, and the places that repeat its names: CRD, chart, policies, settings and docs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from qlib_shadow_operator.runs.defaults import STAGE_DEFAULTS
from qlib_shadow_operator.runs.names import child_labels
from qlib_shadow_operator.runs.network import egress_is_closed
from qlib_shadow_operator.settings import default_settings
from qlib_shadow_runner.contract import Result, Stage
from qlib_shadow_runner.contract.stages import (
    STAGES,
    Access,
    Network,
    leaving,
    pinned_path,
    recorded_stages,
    stages_of,
)
from qlib_shadow_runner.stages.harness import WORK

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/qlib-shadow-operator"
NAMES = [str(stage) for stage in Stage]


def load(path: str) -> Any:
    """Read a YAML file."""
    return yaml.safe_load((ROOT / path).read_text())


def schema() -> dict[str, Any]:
    """Return the CRD's schema."""
    crd = load("manifests/crd/qlibshadowruns.yaml")
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return found


def test_every_stage_has_one_row():
    """In the order of the names; both sides have what they need for each."""
    assert list(STAGES) == list(Stage)
    assert list(WORK) == list(Stage)
    assert set(STAGE_DEFAULTS) == set(Stage)


def test_a_stage_leaves_keys_of_a_result():
    """Each key is first left by one stage only."""
    for row in STAGES.values():
        assert set(row.leaves) <= set(Result.__annotations__)
    assert (leaving("dataset", Stage), leaving("metrics", Stage)) == (Stage.DOWNLOAD, Stage.QRUN)
    assert leaving("metrics", [Stage.DOWNLOAD]) is None


def test_a_closed_stage_has_no_secret_and_changes_no_data():
    """This holds for any stage that is added."""
    for row in STAGES.values():
        assert row.network is Network.OPEN or not row.secrets
        assert row.network is Network.OPEN or row.dataset is not Access.WRITTEN


@pytest.mark.parametrize("spec", [{}, {"dataset": {}}, {"dataset": None}, {"dataset": "x"}, None, "x", []])
def test_spec_without_version_has_both_stages(spec: object):
    """A malformed spec has both, too: the first stage reports the fault."""
    assert stages_of(spec) == (Stage.DOWNLOAD, Stage.QRUN)


@pytest.mark.parametrize("version", ["3f9c0a1b2c3d", "wrong", "", 5])
def test_a_spec_that_names_a_version_has_no_download(version: object):
    """A malformed version has none, too: the training reports the fault."""
    assert stages_of({"dataset": {"version": version}}) == (Stage.QRUN,)


@pytest.mark.parametrize("ledger", [{"book": "us"}, {}, "wrong", 5])
def test_a_spec_with_a_ledger_has_a_third_stage(ledger: object):
    """A malformed one has it, too: the first stage reports the fault."""
    assert stages_of({"ledger": ledger}) == tuple(Stage)
    assert stages_of({"ledger": ledger, "dataset": {"version": "3f9c"}}) == (Stage.QRUN, Stage.LEDGER)
    assert stages_of({"ledger": None}) == (Stage.DOWNLOAD, Stage.QRUN)


def test_the_folder_of_a_version_follows_from_the_spec():
    """The folder's name has the first characters of the fingerprint."""
    whole = "3f9c0a1b2c3d" + "0" * 52
    assert pinned_path({"dataset": {"version": whole}}) == "/data/qlib/qlib_data/us_data_1d@3f9c0a1b2c3d"
    assert pinned_path({"dataset": {"path": "/data/x", "version": whole[:12]}}) == "/data/x@3f9c0a1b2c3d"
    for spec in ({}, None, {"dataset": {"path": "/data/x"}}, {"dataset": {"version": 5}}):
        assert pinned_path(spec) is None


def test_stages_are_read_from_the_run_folder():
    """By their records; without any, the stages of an empty spec."""
    assert recorded_stages({"stages": {"qrun": {}}}) == (Stage.QRUN,)
    found = {"stages": {"ledger": {}, "qrun": {}, "download": {"attempts": 1}, "x": {}}}
    assert recorded_stages(found) == tuple(Stage)
    nothing: object
    for nothing in (None, {}, [], "x"):
        assert recorded_stages({"stages": nothing}) == stages_of({})


def test_the_crd_has_every_stage():
    """With its task in words, and room for all of them in the status."""
    spec, status = (schema()[part]["properties"]["stages"] for part in ("spec", "status"))
    described = {name: field["description"] for name, field in spec["properties"].items()}
    assert described == {str(stage): f"The stage that {row.does}." for stage, row in STAGES.items()}
    assert status["maxItems"] >= len(Stage)
    assert all(len(name) <= status["items"]["properties"]["name"]["maxLength"] for name in NAMES)


def test_the_chart_has_every_stage():
    """Its values, their schema, and the settings that they become."""
    stages = load("helm/qlib-shadow-operator/values.yaml")["runner"]["stages"]
    asked = json.loads((CHART / "values.schema.json").read_text())
    declared = asked["properties"]["runner"]["properties"]["stages"]["properties"]
    assert list(stages) == list(declared) == NAMES
    for name, stage in zip(NAMES, Stage, strict=True):
        base = STAGE_DEFAULTS[stage]
        assert stages[name] == {
            "resources": base.resources,
            "deadlineSeconds": base.active_deadline_seconds,
            "retries": base.retries,
        }


def test_the_settings_have_every_stage():
    """Three variables for each."""
    ends = ("_RESOURCES", "_DEADLINE_SECONDS", "_RETRIES")
    known = {name for name in default_settings() if name.endswith(ends)}
    assert known == {f"QLIB_SHADOW_{stage.name}{end}" for stage in Stage for end in ends}


@pytest.mark.parametrize("stage", Stage)
def test_a_policy_closes_the_stages_without_a_network_and_no_other(stage: Stage):
    """By the labels that the operator gives to their pods."""
    policies = [load(f"manifests/network-policy/{path.name}") for path in policy_files()]
    assert egress_is_closed(policies, child_labels("r", "u", stage)) == STAGES[stage].is_closed


def policy_files() -> list[Path]:
    """Return the policies."""
    folder = ROOT / "manifests/network-policy"
    return [path for path in folder.glob("*.yaml") if path.name != "kustomization.yaml"]


def test_the_docs_name_every_stage():
    """The page about states has the table; the command line takes each."""
    states, commands = ((ROOT / f"docs/{page}.md").read_text() for page in ("states", "commands"))
    for stage, row in STAGES.items():
        assert f"| `{stage}` | {row.when} | {row.does} | {row.network} | {row.dataset} |" in states
    assert f"{{{','.join(NAMES)}}}" in commands

"""The CRD, the operator's types and the runner's spec have the same fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from tests.contract import api_page

from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_operator.kube.status_document import render_status
from qlib_shadow_operator.runs.names import GROUP, PLURAL, VERSION, ConditionType, StageState
from qlib_shadow_operator.runs.reasons import MESSAGE_MAX
from qlib_shadow_runner import spec as runner
from qlib_shadow_runner.contract import RUN_ID_MAX, DatasetResult, Metrics, Stage
from qlib_shadow_runner.dataset.prices.column_roles import ROLES
from qlib_shadow_runner.dataset.quality.checks import RULES
from qlib_shadow_runner.dataset.quality.policy import EVERYTHING
from qlib_shadow_runner.dataset.sources import SOURCES, archive, prices
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import dataset as dataset_spec

CRD = Path(__file__).parents[2] / "manifests/crd/qlibshadowruns.yaml"


@pytest.fixture(scope="module")
def crd() -> dict[str, Any]:
    """Return the CRD's spec."""
    found: dict[str, Any] = yaml.safe_load(CRD.read_text())["spec"]
    return found


@pytest.fixture(scope="module")
def schema(crd: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the served version."""
    found: dict[str, Any] = crd["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def fields(schema: dict[str, Any], path: str) -> set[str]:
    """Return the names of the fields at a path."""
    for part in path.split("."):
        schema = schema["properties"][part]
    return set(schema.get("properties") or schema["items"]["properties"])


def test_crd_names_equal_the_operators(crd: dict[str, Any]):
    """Group, version and plural are the same in the code."""
    assert (crd["group"], crd["versions"][0]["name"], crd["names"]["plural"]) == (GROUP, VERSION, PLURAL)
    assert crd["names"]["shortNames"] == ["qsr"]


def test_every_field_is_described(schema: dict[str, Any]):
    """The field table of the docs is made from the descriptions."""
    assert sorted(undescribed(schema["properties"]["spec"], "spec")) == []
    assert sorted(undescribed(schema["properties"]["status"], "status")) == []


def undescribed(schema: dict[str, Any], path: str) -> list[str]:
    """Return the fields without a description."""
    found = [] if schema.get("description") else [path]
    for name, field in (schema.get("properties") or schema.get("items", {}).get("properties") or {}).items():
        found += undescribed(field, f"{path}.{name}")
    return found


def test_every_text_and_list_of_the_status_is_bounded(schema: dict[str, Any]):
    """Ten thousand runs fit into etcd."""
    assert unbounded(schema["properties"]["status"], "status") == []


def unbounded(schema: dict[str, Any], path: str) -> list[str]:
    """Return the texts and lists without a bound."""
    kind = schema.get("type")
    fixed = schema.get("format") == "date-time" or "enum" in schema
    missing = (kind == "string" and "maxLength" not in schema and not fixed) or (
        kind == "array" and "maxItems" not in schema
    )
    found = [path] if missing else []
    inner = schema.get("properties") or schema.get("items", {}).get("properties") or {}
    for name, field in inner.items():
        found += unbounded(field, f"{path}.{name}")
    return found


def test_messages_fit_into_the_crd(schema: dict[str, Any]):
    """The operator's limit is below the API server's."""
    for part in ("conditions", "stages"):
        item = schema["properties"]["status"]["properties"][part]["items"]
        assert item["properties"]["message"]["maxLength"] > MESSAGE_MAX


def test_the_runner_knows_every_field_of_the_spec(schema: dict[str, Any]):
    """Its parser accepts them all; each belongs to the question or to the operator."""
    assert fields(schema, "spec") - {"runId", "dataset", "workflow", "reuse"} == set(runner.OPERATOR_KEYS)


def test_sources_equal_the_runners(schema: dict[str, Any]):
    """A source is added to the CRD together with its code."""
    assert fields(schema, "spec.dataset.source") == set(SOURCES)


@pytest.mark.parametrize(
    ("source", "keys"),
    [("prices", prices.KEYS), ("archive", archive.KEYS), ("prices.columns", set(ROLES))],
)
def test_fields_of_sources_equal_the_runners(schema: dict[str, Any], source: str, keys: set[str]):
    """Name by name."""
    assert fields(schema, f"spec.dataset.source.{source}") == set(keys)


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ("synthetic", {"seed": 1, "symbols": 20, "start": "2019-01-02", "years": 3}),
        ("qlib", {"region": "us", "interval": "1d", "version": "v2", "url": "https://mirror.example"}),
        ("archive", {"url": "https://x.example/us.zip", "sha256": "0" * 64, "credentialsSecret": "s"}),
        ("prices", {"path": "inbox/us.parquet", "adjust": "none", "duplicates": "last", "badRows": "drop"}),
        ("existing", {}),
    ],
)
def test_runner_accepts_each_source(schema: dict[str, Any], source: str, given: dict[str, Any]):
    """With fields of the CRD."""
    declared = schema["properties"]["spec"]["properties"]["dataset"]["properties"]["source"]["properties"]
    assert given.keys() <= declared[source].get("properties", {}).keys()
    runner.parse_spec({"dataset": {"source": {source: given}}})


def test_fields_excluded_by_a_version_equal_the_runners(schema: dict[str, Any]):
    """One rule and one sentence for each, on both sides."""
    dataset = schema["properties"]["spec"]["properties"]["dataset"]
    rules = {rule["rule"]: rule["message"] for rule in dataset["x-kubernetes-validations"]}
    for name in dataset_spec.NOT_WITH_VERSION:
        message = rules.pop(f"!has(self.version) || !has(self.{name})")
        with pytest.raises(StageError) as caught:
            runner.parse_spec({"dataset": {"version": "3f9c0a1b2c3d", name: {}}})
        assert caught.value.message == f"spec.{message}"
    assert rules == {}
    [rule] = dataset["properties"]["version"]["x-kubernetes-validations"]
    assert rule["rule"] == f"self.matches('^{dataset_spec.VERSION}$')"
    assert runner.parse_spec({"dataset": {"version": "3f9c0a1b2c3d"}}).dataset.version == "3f9c0a1b2c3d"


def test_model_parameters_equal_the_runners(schema: dict[str, Any]):
    """Names, types and ranges."""
    found = schema["properties"]["spec"]["properties"]["workflow"]["properties"]["model"]["properties"]
    kinds = {"integer": int, "number": float}
    assert {
        name: (kinds[field["type"]], field["minimum"], field["maximum"]) for name, field in found.items()
    } == dict(runner.MODEL_PARAMETERS)


def test_runner_accepts_a_spec_with_every_field():
    """As the API server would accept it."""
    runner.parse_spec(
        {
            "runId": "x",
            "reuse": "IfIdentical",
            "dataset": {
                "path": "/data/qlib/qlib_data/us_data_1d",
                "region": "us",
                "interval": "1d",
                "refresh": "Always",
                "maxAgeDays": 3,
                "source": {"synthetic": {"seed": 1, "symbols": 20, "start": "2019-01-02", "days": 600}},
            },
            "workflow": {
                "template": "lightgbm-alpha158",
                "engine": "fast",
                "market": "auto",
                "benchmark": "auto",
                "segments": {
                    "train": ["2019-01-02", "2020-01-02"],
                    "valid": ["2020-01-03", "2020-06-02"],
                    "test": ["2020-06-03", "2020-12-02"],
                },
                "model": {"learning_rate": 0.1},
                "strategy": {"topk": 5, "nDrop": 1},
                "exchange": {
                    "openCost": 0,
                    "closeCost": 0,
                    "minCost": 0,
                    "impactCost": 0,
                    "account": 1,
                    "dealPrice": "close",
                },
                "seed": 7,
                "signalsFormat": "csv",
            },
        }
    )


@pytest.mark.parametrize("part", ["dataset", "workflow", "workflow.strategy", "workflow.exchange"])
def test_runner_refuses_fields_unknown_to_the_crd(part: str):
    """An unknown field is an error on both sides, so the two lists of fields cannot drift apart."""
    document: dict[str, Any] = {}
    inner = document
    for name in part.split("."):
        inner = inner.setdefault(name, {})
    inner["novelty"] = 1
    with pytest.raises(Exception, match="novelty"):
        runner.parse_spec(document)


def test_result_and_status_have_the_same_fields(schema: dict[str, Any]):
    """The contract's fields, one for one."""
    assert fields(schema, "status.dataset") == set(get_type_hints(DatasetResult))
    assert fields(schema, "status.metrics") == set(get_type_hints(Metrics))


def test_written_status_has_the_declared_fields(schema: dict[str, Any]):
    """An undeclared field would be pruned without notice."""
    raw: dict[str, Any] = {
        name: {"type": "object", "integer": 1, "string": "x"}.get(field["type"], [])
        for name, field in schema["properties"]["status"]["properties"].items()
    }
    stage = dict.fromkeys(fields(schema, "status.stages"), "x") | {
        "name": "qrun",
        "state": "Failed",
        "attempts": 1,
        "recreations": 1,
    }
    condition = dict.fromkeys(fields(schema, "status.conditions"), "x") | {"type": "Failed", "status": "True"}
    for document in (stage, condition, raw):
        for name in document:
            if name.endswith("Time"):
                document[name] = "2026-11-21T10:00:00Z"
    raw |= {"stages": [stage], "conditions": [condition], "summary": {"ic": "1"}}
    raw |= {"dataset": {"days": 1}, "metrics": {"ic": 1.0}}
    assert render_status(parse_run({"status": raw}).status) == raw


def test_the_names_of_stages_states_and_conditions_fit(schema: dict[str, Any]):
    """The CRD bounds the lengths; the values are the code's."""
    stages = schema["properties"]["status"]["properties"]["stages"]["items"]["properties"]
    assert max(map(len, StageState)) <= stages["state"]["maxLength"]
    assert max(map(len, Stage)) <= stages["name"]["maxLength"]
    assert all(
        kind in schema["properties"]["status"]["properties"]["conditions"]["description"]
        for kind in ConditionType
    )
    assert set(fields(schema, "spec.stages")) == set(Stage)


def test_run_id_bound_equals_the_contracts(schema: dict[str, Any]):
    """The CRD's rule equals the runner's."""
    rules = schema["properties"]["spec"]["properties"]["runId"]["x-kubernetes-validations"]
    assert any(f"size(self) <= {RUN_ID_MAX}" in rule["rule"] for rule in rules)


def test_every_field_of_a_started_run_is_frozen(schema: dict[str, Any]):
    """A new field must be added to the rule, or to the fields that may change."""
    [rule] = [r["rule"] for r in schema["x-kubernetes-validations"] if "oldSelf" in r["rule"]]
    for name in fields(schema, "spec") - {"suspend", "ttlSecondsAfterFinished"}:
        assert f"self.spec.{name} == oldSelf.spec.{name})" in rule


def test_blocking_checks_equal_the_runners(schema: dict[str, Any]):
    """Otherwise a check could not be used in a cluster."""
    dataset = schema["properties"]["spec"]["properties"]["dataset"]["properties"]
    assert dataset["quality"]["properties"]["block"]["items"]["enum"] == [*RULES, EVERYTHING]


def test_the_reference_is_current():
    """docs/api.md has every field."""
    assert api_page.PAGE.read_text() == api_page.page(), "run: make docs"

"""The CRD is what the table of fields says, and what the operator writes into the status."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest
import yaml
from tests.contract import api_page, crd_file

from qlib_shadow_operator.kube.parse import parse_run
from qlib_shadow_operator.kube.status_document import render_status
from qlib_shadow_operator.runs.names import GROUP, PLURAL, VERSION, ConditionType, StageState
from qlib_shadow_operator.runs.reasons import MESSAGE_MAX
from qlib_shadow_runner.contract import DatasetResult, Metrics, ModelResult, Stage
from qlib_shadow_runner.contract.fields import fields_of
from qlib_shadow_runner.contract.spec.dataset import CHECKS, NOT_WITH_VERSION
from qlib_shadow_runner.contract.spec.jobs import StagesSpec
from qlib_shadow_runner.contract.spec.price_files import Columns
from qlib_shadow_runner.contract.spec.sources import SourceSpec
from qlib_shadow_runner.dataset.prices.column_roles import ROLES
from qlib_shadow_runner.dataset.quality.checks import RULES
from qlib_shadow_runner.dataset.sources import SOURCES
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec


@pytest.fixture(scope="module")
def crd() -> dict[str, Any]:
    """Return the CRD's spec."""
    found: dict[str, Any] = yaml.safe_load(crd_file.FILE.read_text())["spec"]
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


def test_the_schema_of_the_spec_is_current():
    """It is made from the table of fields."""
    assert crd_file.FILE.read_text() == crd_file.file(), "run: make docs"


def test_the_table_names_what_the_code_has():
    """Stages, sources, checks and columns, which have their behaviour elsewhere."""
    assert [one.key for one in fields_of(StagesSpec)] == list(Stage)
    assert {one.key for one in fields_of(SourceSpec)} == set(SOURCES)
    assert {one.key for one in fields_of(Columns)} == {*ROLES, "extra", "universes"}
    assert list(CHECKS) == list(RULES)


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


def words_in(schema: Any) -> set[str]:
    """Return the words of every choice in a schema."""
    inside = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    own = schema.get("enum", ()) if isinstance(schema, dict) else ()
    return {word for word in own if isinstance(word, str)}.union(*map(words_in, inside))


def test_every_word_of_a_choice_can_be_written_without_quotes(schema: dict[str, Any]):
    """YAML reads a bare Off, No or Null as something else than the word."""
    words = words_in(schema["properties"]["spec"])
    assert {"Calibrated", "inverseVol"} <= words
    assert {word for word in words if yaml.safe_load(word) != word} == set()


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


def test_fields_excluded_by_a_version_equal_the_runners(schema: dict[str, Any]):
    """One rule and one sentence for each, on both sides."""
    dataset = schema["properties"]["spec"]["properties"]["dataset"]
    rules = {rule["rule"]: rule["message"] for rule in dataset["x-kubernetes-validations"]}
    beside = {"source": {"existing": {}}, "refresh": "Never", "quality": {}, "maxAgeDays": 1}
    assert tuple(beside) == NOT_WITH_VERSION
    for name, value in beside.items():
        message = rules.pop(f"!has(self.version) || (!has(self.{name}))")
        with pytest.raises(StageError) as caught:
            parse_spec({"dataset": {"version": "3f9c0a1b2c3d", name: value}})
        assert caught.value.message == message
    assert parse_spec({"dataset": {"version": "3f9c0a1b2c3d"}}).dataset.version == "3f9c0a1b2c3d"


def test_result_and_status_have_the_same_fields(schema: dict[str, Any]):
    """The contract's fields, one for one."""
    assert fields(schema, "status.dataset") == set(get_type_hints(DatasetResult))
    assert fields(schema, "status.metrics") == set(get_type_hints(Metrics))
    assert fields(schema, "status.model") == set(get_type_hints(ModelResult))


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
    raw |= {
        "dataset": {"days": 1},
        "metrics": {"ic": 1.0},
        "model": {"kept": False},
        "ledger": {"late": False},
    }
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


def test_the_reference_is_current():
    """docs/api.md has every field."""
    assert api_page.PAGE.read_text() == api_page.page(), "run: make docs"

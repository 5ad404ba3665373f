"""A field is described in one line; schema, reading, refusals and reference follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.contract import api_page, crd_file

from qlib_shadow_operator.kube.lenient import read_leniently
from qlib_shadow_runner.contract.fields import Object, Reader, Record, excludes, fields_of, optional
from qlib_shadow_runner.contract.kinds import Whole
from qlib_shadow_runner.contract.place import Place
from qlib_shadow_runner.contract.spec.workflow import WorkflowSpec
from qlib_shadow_runner.refusals import fault_of


@dataclass(frozen=True)
class Patient(WorkflowSpec):
    """A workflow with one more field."""

    most_days: int | None = optional(Whole(1, 9), "How long it may take.", reader=Reader.BOTH)


def said(cls: type[Record], value: object) -> list[str]:
    """Return the sentences that refuse a value."""
    place = Place("spec.workflow")
    Object(cls).read(value, place)
    return [fault_of(fault).message for fault in place.faults]


def test_the_schema_has_it():
    """With its type, bounds and description, beside the existing fields."""
    found = crd_file.schema_of(Patient, "spec.workflow")["properties"]
    assert found["mostDays"] == {
        "type": "integer",
        "description": "How long it may take.",
        "format": "int32",
        "minimum": 1,
        "maximum": 9,
    }
    assert set(found) == {"mostDays", *crd_file.schema_of(WorkflowSpec, "spec.workflow")["properties"]}


def test_the_reference_has_it():
    """A row with the type and its meaning."""
    rows = list(api_page.rows(crd_file.schema_of(Patient, "spec.workflow"), "workflow."))
    assert "| `workflow.mostDays` | integer, 1 to 9 | How long it may take. |" in rows


def test_it_is_read():
    """Under its Python name, and whether it was given."""
    found = Object(Patient).read({"mostDays": 3}, Place("spec.workflow"))
    assert found is not None
    assert (found.most_days, found.given) == (3, frozenset({"most_days"}))
    assert Patient().most_days is None


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"mostDays": 10}, "spec.workflow.mostDays must be a whole number from 1 to 9, not 10"),
        ({"mostDay": 1}, 'spec.workflow has no field "mostDay"; did you mean "mostDays"?'),
    ],
)
def test_it_is_refused(value: object, sentence: str):
    """With its place and the valid values."""
    assert said(Patient, value) == [sentence]


def test_the_operator_reads_it():
    """If it is the operator's, too; malformed fields are left out."""
    assert read_leniently(Patient, {"mostDays": 3, "seed": 9}) == Patient(most_days=3)
    assert read_leniently(Patient, {"mostDays": "three", "configMapRef": [], "seed": 9}) is None


@dataclass(frozen=True)
class Versioned(Record):
    """A field that others exclude."""

    version: int | None = optional(Whole(1, 9), "Which.")
    refresh: int | None = optional(Whole(1, 9), "How often.")
    max_age: int | None = optional(Whole(1, 9), "How old.")

    RULES = (excludes("version", "refresh", "maxAge", must="takes no refresh and no maxAge with version"),)


def test_a_rule_is_one_for_both_sides():
    """The same sentence, in CEL and in Python."""
    [rule] = crd_file.schema_of(Versioned, "spec.workflow")["x-kubernetes-validations"]
    assert rule == {
        "rule": "!has(self.version) || (!has(self.refresh) && !has(self.maxAge))",
        "message": "spec.workflow takes no refresh and no maxAge with version",
    }
    assert said(Versioned, {"version": 1, "maxAge": 2}) == [rule["message"]]
    assert said(Versioned, {"refresh": 1, "maxAge": 2}) == said(Versioned, {"version": 1}) == []


def test_omitted_field_has_its_default():
    """A null, too, as in the API server."""
    found = Object(WorkflowSpec).read({"seed": None, "market": None}, Place("spec.workflow"))
    assert found == WorkflowSpec()
    assert found.given == frozenset()


def test_a_description_says_the_default():
    """If it is a single value."""
    about = {one.key: one.description for one in fields_of(WorkflowSpec)}
    assert about["seed"] == "Seed of the model. Default: 7."

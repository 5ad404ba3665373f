"""What a workflow says of a kept model, and which workflows cannot keep one."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.discovery.live_days import LiveDays
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow.anchor import anchor_of, anchored, days_before
from qlib_shadow_runner.workflow.parsed import parse
from qlib_shadow_runner.workflow.prepare import render_without_data
from qlib_shadow_runner.workflow.templates import Template, find_template
from qlib_shadow_runner.workflow.vetting import vet

SPEC = parse_spec({"workflow": {"retrain": {"everyDays": 20}}})
TEMPLATE = find_template(SPEC.workflow, None)
HASHES = {"model.txt": "0" * 64}


def test_a_kept_model_is_part_of_the_configuration():
    """Its hashes stand in workflow.yaml, below all that the template wrote."""
    workflow = render_without_data(SPEC, TEMPLATE).workflow
    keeping = workflow.keeping(HASHES)
    vet(keeping)
    assert keeping.kept_model == HASHES
    assert keeping.text.startswith(workflow.text.rstrip())
    assert keeping.document["task"] == workflow.document["task"]
    hashes = {one.config_hash("f") for one in (workflow, keeping, workflow.keeping({"model.txt": "1" * 64}))}
    assert len(hashes) == 3


def test_features_begin_where_they_began_for_the_kept_model():
    """Nothing else in the workflow changes, be the day a word or a date."""
    workflow = render_without_data(SPEC, TEMPLATE).workflow
    changed = anchored(workflow, date(2013, 5, 6))
    assert changed is not None
    assert str(changed.handler["kwargs"]["start_time"]) == "2013-05-06"
    kwargs = {**changed.handler["kwargs"], "start_time": workflow.handler["kwargs"]["start_time"]}
    assert {**changed.handler, "kwargs": kwargs} == workflow.handler
    assert changed.segments == workflow.segments
    assert changed.text.splitlines()[:40] == workflow.text.splitlines()[:40]
    calendar = [date(2013, 5, 3), date(2013, 5, 6), date(2013, 5, 7)]
    assert anchor_of(changed, calendar) == date(2013, 5, 6)
    assert days_before(date(2013, 5, 6), calendar, 60) == 1


def test_a_day_that_stands_for_several_settings_is_not_changed():
    """The model is not kept then, and the run says why."""
    first = str(render_without_data(SPEC, TEMPLATE).workflow.segments["train"][0])
    text = render_without_data(SPEC, TEMPLATE).workflow.text
    shared = text.replace(f"start_time: {first}", f"start_time: &first {first}", 1)
    shared = shared.replace(f"fit_start_time: {first}", "fit_start_time: *first", 1)
    assert parse(shared).document == parse(text).document
    assert anchored(parse(shared), date(2013, 5, 6)) is None


@pytest.mark.parametrize(
    "kept",
    [
        "yes",
        [],
        {"model.txt": "short"},
        {"../model.txt": "0" * 64},
        {"model.bin": "0" * 64},
        {"model.txt": 1},
    ],
)
def test_another_form_of_a_kept_model_is_refused(kept: Any):
    """By verify, which reads what another run has written."""
    document = render_without_data(SPEC, TEMPLATE).workflow.document
    workflow = parse("a: 1")
    changed = type(workflow)(workflow.text, {**document, "kept_model": kept})
    with pytest.raises(
        StageError, match=r"workflow\.kept_model is .*; it must be a model's files with their"
    ):
        vet(changed)


LIVE = LiveDays((date(2020, 1, 2), date(2025, 1, 2)), (date(2025, 1, 3), date(2025, 1, 6)))


def test_the_days_of_a_live_model_are_part_of_the_configuration():
    """A kept one has learnt from another run's days, which are not this run's to state."""
    workflow = render_without_data(SPEC, TEMPLATE).workflow
    refitting, kept = (workflow.refitting(LIVE, kept=kept) for kept in (False, True))
    vet(refitting)
    vet(kept.keeping({"live_model.txt": "0" * 64, **HASHES}))
    assert refitting.live_model == {
        "train": ["2020-01-02", "2025-01-02"],
        "days": ["2025-01-03", "2025-01-06"],
    }
    assert kept.live_model == {"days": ["2025-01-03", "2025-01-06"]}
    assert len({one.config_hash("f") for one in (workflow, refitting, kept)}) == 3


@pytest.mark.parametrize("live", ["yes", [], {}, {"train": ["2025-01-03", "2025-01-06"]}, {"days": ["2025"]}])
def test_another_form_of_a_live_model_is_refused(live: Any):
    """By verify, which reads what another run has written."""
    workflow = render_without_data(SPEC, TEMPLATE).workflow
    with pytest.raises(StageError, match=r"workflow\.live_model"):
        vet(type(workflow)(workflow.text, {**workflow.document, "live_model": live}))


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("kept_model", {"model.txt": "0" * 64}),
        ("live_model", {"days": ["2025-01-03", "2025-01-06"]}),
        ("live_model", None),
    ],
)
def test_a_template_cannot_write_the_stages_sections(section: str, says: Any):
    """It would be held for a run that keeps a model, or has a live one."""
    own = Template("mine", f"{TEMPLATE.text}\n{section}: {json.dumps(says)}\n")
    with pytest.raises(
        StageError, match=f"mine has a section {section}, which only the runner writes"
    ) as caught:
        render_without_data(SPEC, own)
    assert caught.value.reason is Reason.INVALID_WORKFLOW


def test_fitted_processors_are_named():
    """Their values follow from days that are not the kept model's."""
    assert render_without_data(SPEC, TEMPLATE).workflow.fitted_processors == []
    steps = "infer_processors: [{class: RobustZScoreNorm, kwargs: {fields_group: feature}}, {class: Fillna}]"
    place = "          # The benchmark is measured against"
    own = Template("mine", TEMPLATE.text.replace(place, f"          {steps}\n{place}"))
    assert render_without_data(SPEC, own).workflow.fitted_processors == ["RobustZScoreNorm"]


def test_processors_that_a_handler_fits_by_default_are_named():
    """Alpha360 normalizes its features by the days of train unless a workflow says otherwise."""
    alpha360 = "class: Alpha360\n"
    chosen = '{% if engine == "fast" %}Alpha158{% else %}QlibAlpha158{% endif %}\n'
    own = Template("mine", TEMPLATE.text.replace(f"class: {chosen}", alpha360))
    assert render_without_data(SPEC, own).workflow.fitted_processors == ["ZScoreNorm"]
    named = own.text.replace(
        "          # The benchmark is", "          infer_processors: [{class: Fillna}]\n          # The"
    )
    assert render_without_data(SPEC, Template("mine", named)).workflow.fitted_processors == []


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({}, "spec.workflow.retrain lacks everyDays"),
        ({"everyDays": 0}, "spec.workflow.retrain.everyDays must be a whole number from 1 to 2,000"),
        ({"everyDays": "20d"}, "spec.workflow.retrain.everyDays must be a whole number"),
        ({"every": 20}, 'spec.workflow.retrain has no field "every"'),
        ("Weekly", "spec.workflow.retrain must be a mapping of fields"),
    ],
)
def test_wrong_forms_of_retrain_are_refused(asked: Any, fault: str):
    """One sentence each."""
    with pytest.raises(StageError) as caught:
        parse_spec({"workflow": {"retrain": asked}})
    assert caught.value.message.startswith(fault)

"""All parts of a file together: a template and a manifest that are checked as `validate` checks them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.adopt.features import adopt_features
from qlib_shadow_runner.adopt.model import adopt_model
from qlib_shadow_runner.adopt.records import adopt_records
from qlib_shadow_runner.adopt.report import RefusedError, Report
from qlib_shadow_runner.adopt.source import adopt_source, kept_if_there
from qlib_shadow_runner.adopt.write import Parameter, template_text
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow.prepare import render_without_data
from qlib_shadow_runner.workflow.templates import own_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.adopt.features import Features
    from qlib_shadow_runner.adopt.read import Original

QLIB_INIT: Final = {
    "provider_uri": Parameter("provider_uri | tojson"),
    "region": Parameter("region | tojson"),
    "kernels": 1,
}
QRUNS: Final = frozenset({"qlib_init", "task", "sys", "experiment_name"})
"""The sections that qrun acts on; all others hold values for them."""
LONGEST_NAME: Final = 40


@dataclass(frozen=True)
class Adopted:
    """What a file became."""

    name: str
    template: str
    spec: Mapping[str, object]
    report: Report


def adopt(original: Original, name: str) -> Adopted:
    """Return the template and the spec that ask the question of a file, or refuse the file."""
    report = Report()
    document = original.document
    task = document["task"]
    model, seed = adopt_model(task.get("model"), report)
    features = adopt_features(task.get("dataset"), report)
    records = adopt_records(task.get("record"), features.segments["test"], report)
    source = adopt_source(document.get("qlib_init"), report)
    if task.get("reweighter") is not None:
        raise RefusedError("needs the task's reweighter, which a run does not have", "a reweighter")
    _note_sections(original, report)
    workflow: dict[str, object] = {"configMapRef": {"name": name}}
    for field, value in (("market", features.market), ("benchmark", records.benchmark)):
        found = value and kept_if_there(source, field, value, report)
        workflow |= {field: found} if found else {}
    workflow["segments"] = _segments(features)
    workflow |= {} if seed is None else {"seed": seed}
    parts = {"model": model, "dataset": features.dataset, "record": records.records}
    template = template_text({"qlib_init": QLIB_INIT, "task": parts})
    adopted = Adopted(name, template, {"dataset": source.spec, "workflow": workflow}, report)
    _check(adopted)
    return adopted


def name_for(stem: str) -> str:
    """Return a name for the run from that of the file, without what all such files begin with."""
    words = re.sub(r"^workflow[_-](config[_-])?", "", stem).lower()
    name = re.sub(r"[^a-z0-9]+", "-", words)[:LONGEST_NAME].strip("-")
    return name or "adopted"


def _segments(features: Features) -> dict[str, list[str]]:
    return {name: [str(day) for day in span] for name, span in features.segments.items()}


def _note_sections(original: Original, report: Report) -> None:
    document: Mapping[str, Any] = original.document
    holders = [str(name) for name in document if name not in QRUNS]
    if holders:
        report.change(", ".join(holders), "each value is written where it is used")
    for name in original.variables:
        report.change(f"{{{{ {name} }}}}", "the value that the environment has now")
    if "experiment_name" in document:
        report.change("experiment_name", "the run's name takes its place")
    if "sys" in document:
        report.leave_out("sys", "a run imports no code of its user")


def _check(adopted: Adopted) -> None:
    """Refuse what `validate` would refuse."""
    try:
        spec = parse_spec(adopted.spec)
        assert spec.workflow.config_map is not None, "it was written so"
        render_without_data(spec, own_template(spec.workflow.config_map, adopted.template))
    except StageError as fault:
        sentence = fault.message.removesuffix(" Nothing was run.").removesuffix(".")
        raise RefusedError(f"cannot be adopted: {sentence}") from fault

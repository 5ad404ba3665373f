"""The qrun stage: plan, render, train and backtest with the real qrun, export."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import ENV_TEMPLATE, REPORT_FILE, WORKFLOW_FILE, Metrics, Reason, Stage
from qlib_shadow_runner.dataset.ensure import Resolved
from qlib_shadow_runner.dataset.manifest import Manifest, is_current, manifest_path
from qlib_shadow_runner.dataset.publish import folder_of
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.faults import QrunPoint, fault_point, for_children
from qlib_shadow_runner.process.environment import drawing_environment
from qlib_shadow_runner.stages.download import dataset_metadata
from qlib_shadow_runner.stages.outcome import Outcome, Workbench, dataset_result
from qlib_shadow_runner.stages.training import obtain_training, twin_of
from qlib_shadow_runner.storage.files import write_atomically
from qlib_shadow_runner.training.checkpoints import clear, computation
from qlib_shadow_runner.training.trained import Trained

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.runs.mlruns import MlflowRun
    from qlib_shadow_runner.workflow.prepare import Research

ENDING: Final = frozenset({Reason.INTERRUPTED, Reason.SUPERSEDED, Reason.SHADOW_PROMISE_BROKEN})
"""What ends the stage, whatever it was doing."""


def qrun(bench: Workbench) -> Outcome:
    """Do the research and leave everything that a golden run needs."""
    resolved = resolve_dataset(bench)
    research = _prepare(bench, resolved)
    write_atomically(bench.folder.path / WORKFLOW_FILE, research.workflow.text.encode())
    found = dataset_result(bench, resolved)
    asked = computation(research.config_hash, bench.spec.workflow.seed, bench.folder.metadata)
    bench.folder.update_metadata(
        **dataset_metadata(found),
        **_research_metadata(bench, research, resolved.manifest),
        computation=asked,
    )
    recorded = obtain_training(bench, asked)
    bench.folder.update_metadata(mlflow_run_id=recorded.run_id, **_origin(bench, asked))
    metrics = _publish(bench, recorded)
    metadata = bench.folder.metadata
    message = headline(metrics) + kinship_sentence(metadata) + report_sentence(metadata)
    return Outcome(message, dataset=found, metrics=metrics, config_hash=research.config_hash)


def _publish(bench: Workbench, recorded: MlflowRun) -> Metrics:
    """Write what people and programs read; what led there is not needed any more."""
    sys.stdout.write("exporting signals, metrics and summary\n")
    report = _export(bench, recorded)
    fault_point(QrunPoint.EXPORTED)
    metrics: Metrics = Metrics(**report.pop("metrics"))  # type: ignore[typeddict-item]
    bench.folder.update_metadata(**report)
    fault_point(QrunPoint.DESCRIBED)
    bench.folder.update_metadata(**_make_report(bench))
    fault_point(QrunPoint.REPORTED)
    clear(bench.folder.path)
    fault_point(QrunPoint.CLEARED)
    return metrics


def resolve_dataset(bench: Workbench) -> Resolved:
    """Take the version that the download stage recorded; without one, what the name means now."""
    before = bench.folder.result(Stage.DOWNLOAD) or {}
    found = before.get("dataset")
    named = str(found["resolvedPath"]) if isinstance(found, dict) and "resolvedPath" in found else None
    path = bench.context.volume.locate(named or bench.spec.dataset.path)
    folder = folder_of(path) if named is None else path
    manifest = Manifest.read(manifest_path(folder))
    if not folder.is_dir() or manifest is None:
        raise StageError(
            Reason.DATASET_MISSING, f"there is no verified dataset at {path}. Run the download stage first."
        )
    if not is_current(manifest, folder):
        raise StageError(
            Reason.DATASET_INVALID,
            f"{folder} was changed after it was verified. "
            "Run the download stage again, so that it is verified anew.",
        )
    return Resolved(folder, manifest)


def _prepare(bench: Workbench, resolved: Resolved) -> Research:
    # The stage starts without Jinja.
    from qlib_shadow_runner.workflow.prepare import RenderContext, prepare  # noqa: PLC0415
    from qlib_shadow_runner.workflow.templates import find_template  # noqa: PLC0415

    template = find_template(bench.spec.workflow, bench.context.environ.get(ENV_TEMPLATE))
    context = RenderContext(str(resolved.folder), resolved.manifest.fingerprint, bench.limits.threads)
    return prepare(bench.spec, template, resolved.dataset, context)


def _research_metadata(bench: Workbench, research: Research, manifest: Manifest) -> dict[str, object]:
    from qlib_shadow_runner.workflow.metadata import describe_research  # noqa: PLC0415

    return describe_research(bench.spec.workflow, research, synthetic=manifest.synthetic)


def _origin(bench: Workbench, asked: str) -> dict[str, object]:
    """Say where features and training are from, and which other run answered the same."""
    twin, trained = twin_of(bench, asked), Trained.read(bench.folder.path)
    return {
        "features": trained.features if trained else None,
        "reused_from": trained.reused_from if trained else None,
        "identical_to": twin.run_id if twin else None,
        "identical_to_signals_sha256": twin.signals_sha256 if twin else None,
    }


def kinship_sentence(metadata: Mapping[str, object]) -> str:
    """Say the same to people, at the end of the headline."""
    source, twin = metadata.get("reused_from"), metadata.get("identical_to")
    if twin and metadata.get("identical_signals") is False:
        return f" · NOT REPRODUCED: the identical run {twin} has other signals"
    if source:
        return f" · taken over from the run {source}"
    return f" · same signals as the run {twin}" if twin else ""


def _export(bench: Workbench, recorded: MlflowRun) -> dict[str, object]:
    arguments = {
        "folder": str(bench.folder.way),
        "artifacts": str(recorded.artifacts),
        "format": bench.spec.workflow.signals_format,
    }
    environ = {**bench.environ, **for_children(bench.context.environ)}
    return bench.supervisor.step("export", arguments, environ=environ, cwd=str(bench.scratch))


def _make_report(bench: Workbench) -> dict[str, object]:
    """Make the page that people look at, in a child of its own; a run without it is still a run."""
    sys.stdout.write("making the report\n")
    arguments = {"folder": str(bench.folder.way), "mount": str(bench.context.volume.mount)}
    scratch, around = str(bench.scratch), bench.context.environ
    environ = {**bench.environ, **for_children(around), **drawing_environment(around, scratch)}
    try:
        return bench.supervisor.step("report", arguments, environ=environ, cwd=scratch)
    except StageError as error:
        if error.reason in ENDING:
            raise
        sys.stderr.write(f"warning: the run has no {REPORT_FILE}: {error.message}\n")
        (bench.folder.path / REPORT_FILE).unlink(missing_ok=True)  # an earlier attempt's
        return {"report_sha256": None, "report_fault": error.message}


def report_sentence(metadata: Mapping[str, object]) -> str:
    """Say at the end of the headline that there is no report."""
    return f" · without {REPORT_FILE}, see stderr.log" if metadata.get("report_fault") else ""


def headline(metrics: Metrics) -> str:
    """Say the figures in one line."""
    parts = [
        ("IC", "ic", "{:.3f}"),
        ("Rank IC", "rankIc", "{:.3f}"),
        ("excess return", "annualizedReturn", "{:.1%}/yr"),
        ("IR", "informationRatio", "{:.2f}"),
        ("max drawdown", "maxDrawdown", "{:.1%}"),
    ]
    values = dict(metrics)
    return " · ".join(f"{name} {form.format(values[key])}" for name, key, form in parts if key in values)

"""The qrun stage: plan, render, train and backtest with Qlib's own qrun, and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import (
    ENV_TEMPLATE,
    REPORT_FILE,
    WORKFLOW_FILE,
    DatasetResult,
    Metrics,
    Reason,
)
from qlib_shadow_runner.contract.stages import leaving
from qlib_shadow_runner.crash_points import ModelPoint, QrunPoint, fault_point, for_children
from qlib_shadow_runner.dataset.ensure import ResolvedDataset, check_claims
from qlib_shadow_runner.dataset.manifest import DatasetManifest, is_current, manifest_path
from qlib_shadow_runner.dataset.pinned import find_pinned
from qlib_shadow_runner.dataset.publish import folder_of
from qlib_shadow_runner.dataset.quality.assess import reassess
from qlib_shadow_runner.dataset.quality.policy import Policy
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_error, print_line
from qlib_shadow_runner.process.environment import drawing_environment
from qlib_shadow_runner.runs.asked import write_asked
from qlib_shadow_runner.stages.alarms import decayed_sentence, model_result
from qlib_shadow_runner.stages.dataset_facts import dataset_metadata, dataset_result, introduce_dataset
from qlib_shadow_runner.stages.outcome import Outcome, StageContext
from qlib_shadow_runner.stages.training import (
    discard_training,
    identical_run_of,
    origin_of_training,
    reuse_training,
    train,
)
from qlib_shadow_runner.storage.files import write_atomically
from qlib_shadow_runner.training.checkpoints import clear, computation
from qlib_shadow_runner.training.trained import Trained

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.runs.mlruns import MlflowRun
    from qlib_shadow_runner.stages.model_question import ModelQuestion
    from qlib_shadow_runner.training.model_folder import ModelFolder
    from qlib_shadow_runner.training.reuse import IdenticalRun
    from qlib_shadow_runner.workflow.prepare import Research

FATAL_REASONS: Final = frozenset({Reason.INTERRUPTED, Reason.SUPERSEDED, Reason.SHADOW_PROMISE_BROKEN})
"""The reasons that end the stage even where only the report fails."""
LASTING_REASONS: Final = FATAL_REASONS | {Reason.OUT_OF_DISK, Reason.VOLUME_NOT_WRITABLE}
"""The reasons for which a training of this run would fail as well."""


def qrun(context: StageContext) -> Outcome:
    """Train, backtest and export; return the metrics and the workflow's hash."""
    from qlib_shadow_runner.stages.keeping import PASSING, give_up_model, keep_model  # noqa: PLC0415 - Jinja
    from qlib_shadow_runner.stages.model_caveats import model_caveats  # noqa: PLC0415 - they read a dataset
    from qlib_shadow_runner.stages.named_model import use_named_model  # noqa: PLC0415 - Jinja

    resolved, found = find_dataset(context)
    question = _prepare(context, resolved)
    named = context.spec.workflow.model_from
    kept = use_named_model(question, named) if named else keep_model(question)
    research = question.research
    if kept is not None:
        research = question.keeping(kept)
    write_atomically(context.folder.path / WORKFLOW_FILE, research.workflow.text.encode())
    fault_point(ModelPoint.RENDERED)
    asked = computation(research.config_hash, context.spec.workflow.seed, context.folder.metadata)
    described = _research_metadata(context, research, resolved)
    for caveat in model_caveats(question, kept) if kept else ():
        print_error(f"warning: {caveat}")
        described["caveats"] = [*described["caveats"], caveat]
    context.folder.update_metadata(**described, computation=asked)
    try:
        exported = _train_and_export(question, kept, asked, research.workflow.live_model)
    except StageError as error:
        if kept is not None and named is None and error.reason not in PASSING:
            give_up_model(question, kept)
        raise
    metrics = _publish(context, exported)
    metadata = context.folder.metadata
    notes = (live_sentence, kept_sentence, decayed_sentence, reuse_sentence, report_sentence)
    message = headline(metrics) + "".join(note(metadata) for note in notes)
    model = model_result(metadata)
    return Outcome(message, dataset=found, metrics=metrics, model=model, config_hash=research.config_hash)


def _train_and_export(
    question: ModelQuestion,
    kept: ModelFolder | None,
    asked: str,
    live_model: Mapping[str, object] | None,
) -> dict[str, object]:
    """Return what the export reports; if a training of another run cannot be exported, this run trains."""
    context = question.context
    recorded = reuse_training(context, asked)
    source = origin_of_training(context)
    if recorded is not None and source is not None:
        try:
            return _export(question, kept, recorded, asked, faultless=True)
        except StageError as error:
            if error.reason in LASTING_REASONS:
                raise
            print_error(
                f"warning: what was taken over from the run {source} cannot be used: {error.message} "
                "This run trains itself."
            )
            discard_training(context, recorded)
            recorded = None
    recorded = recorded or train(context, asked, question.test_begins, kept, live_model)
    return _export(question, kept, recorded, asked)


def _publish(context: StageContext, report: dict[str, Any]) -> Metrics:
    """Describe the exported files, make the report, then remove the checkpoints."""
    fault_point(QrunPoint.EXPORTED)
    metrics: Metrics = Metrics(**report.pop("metrics"))  # type: ignore[typeddict-item]
    context.folder.update_metadata(**report)
    fault_point(QrunPoint.DESCRIBED)
    context.folder.update_metadata(**_make_report(context))
    fault_point(QrunPoint.REPORTED)
    clear(context.folder.path)
    fault_point(QrunPoint.CLEARED)
    return metrics


def find_dataset(context: StageContext) -> tuple[ResolvedDataset, DatasetResult]:
    """Return the dataset with its facts; a pinned version is described here, because no earlier stage did."""
    spec = context.spec.dataset
    if spec.version is None:
        resolved = resolve_dataset(context)
        found = dataset_result(context, resolved)
        context.folder.update_metadata(**dataset_metadata(found))
        return resolved, found
    resolved = find_pinned(context.stage_input.volume.locate(spec.path), spec.version)
    check_claims(resolved.manifest, spec)
    return resolved, introduce_dataset(
        context, resolved, reassess(resolved.manifest.quality, Policy.of(spec.quality))
    )


def resolve_dataset(context: StageContext) -> ResolvedDataset:
    """Return the version that the download stage recorded; without a record, the current one."""
    found = _found_before(context)
    named = str(found["resolvedPath"]) if isinstance(found, dict) and "resolvedPath" in found else None
    path = context.stage_input.volume.locate(named or context.spec.dataset.path)
    folder = folder_of(path) if named is None else path
    manifest = DatasetManifest.read(manifest_path(folder))
    if not folder.is_dir() or manifest is None:
        raise StageError(
            Reason.DATASET_MISSING, f"there is no verified dataset at {path}. Run the download stage first."
        )
    if not is_current(manifest, folder):
        raise StageError(
            Reason.DATASET_INVALID,
            f"{folder} was changed after it was verified. "
            "Run the download stage again, which verifies it again.",
        )
    return ResolvedDataset(folder, manifest)


def _found_before(context: StageContext) -> object:
    """Return the dataset in the result of an earlier stage of the run."""
    stage_input = context.stage_input
    earlier = leaving("dataset", stage_input.stages)
    before = context.folder.result(earlier) if earlier and earlier is not stage_input.stage else None
    return before.get("dataset") if before else None


def _prepare(context: StageContext, resolved: ResolvedDataset) -> ModelQuestion:
    # Imported here, because the download stage must not load Jinja.
    from qlib_shadow_runner.stages.model_question import ModelQuestion  # noqa: PLC0415
    from qlib_shadow_runner.workflow.prepare import RenderContext, prepare  # noqa: PLC0415
    from qlib_shadow_runner.workflow.templates import find_template  # noqa: PLC0415

    write_asked(context.stage_input)
    template = find_template(context.spec.workflow, context.stage_input.environ.get(ENV_TEMPLATE))
    dataset, threads = resolved.dataset, context.limits.threads
    facts = RenderContext(str(resolved.folder), resolved.manifest.fingerprint, threads)
    research = prepare(context.spec, template, dataset, facts)
    return ModelQuestion.of(context, research, resolved, template)


def _research_metadata(
    context: StageContext, research: Research, resolved: ResolvedDataset
) -> dict[str, Any]:
    from qlib_shadow_runner.discovery.lives import Lives  # noqa: PLC0415
    from qlib_shadow_runner.workflow.description import describe_research  # noqa: PLC0415

    lives = Lives.of(resolved.dataset, research.plan.market, research.plan.universe_end)
    return describe_research(context.spec.workflow, research, lives, synthetic=resolved.manifest.synthetic)


def _origin(context: StageContext, identical_run: IdenticalRun | None) -> dict[str, object]:
    """Return where features and training came from, and the identical run if there is one."""
    trained = Trained.read(context.folder.path)
    return {
        "features": trained.features if trained else None,
        "reused_from": trained.reused_from if trained else None,
        "identical_to": identical_run.run_id if identical_run else None,
        "identical_to_signals_sha256": identical_run.signals_sha256 if identical_run else None,
    }


def reuse_sentence(metadata: Mapping[str, object]) -> str:
    """Return the note about reuse for the end of the result's message."""
    source, identical_run = metadata.get("reused_from"), metadata.get("identical_to")
    if identical_run and metadata.get("identical_signals") is False:
        return f" · NOT REPRODUCED: the identical run {identical_run} has other signals"
    if source:
        return f" · taken over from the run {source}"
    return f" · same signals as the run {identical_run}" if identical_run else ""


def live_sentence(metadata: Mapping[str, object]) -> str:
    """Return the note about the live model for the end of the result's message."""
    through = metadata.get("live_model_trained_through")
    return f" · live model to {through}" if through else ""


def kept_sentence(metadata: Mapping[str, object]) -> str:
    """Return the note about a kept model for the end of the result's message."""
    source, age = metadata.get("model_trained_by"), metadata.get("model_age_days")
    if not metadata.get("model_kept"):
        return ""
    return f" · with the model of the run {source}, {age} trading day{'' if age == 1 else 's'} old"


def _export(
    question: ModelQuestion,
    kept: ModelFolder | None,
    recorded: MlflowRun,
    asked: str,
    *,
    faultless: bool = False,
) -> dict[str, object]:
    """Leave the model, and write the exported files in a child process."""
    from qlib_shadow_runner.stages.leaving import leave_model, model_metadata  # noqa: PLC0415

    context = question.context
    identical_run = identical_run_of(context, asked)
    model = kept or leave_model(question, asked, identical_run)
    context.folder.update_metadata(
        mlflow_run_id=recorded.run_id,
        **_origin(context, identical_run),
        **model_metadata(question, model, kept),
    )
    print_line("exporting signals, metrics and summary")
    arguments = {
        "folder": str(context.folder.attempt_path),
        "artifacts": str(recorded.artifacts.relative_to(context.folder.path)),
        "format": context.spec.workflow.signals_format,
        "faultless": faultless,
    }
    environ = {**context.environ, **for_children(context.stage_input.environ)}
    report = context.supervisor.step("export", arguments, environ=environ, cwd=str(context.scratch))
    outputs = report["outputs"]
    assert isinstance(outputs, dict), "the export lists its files"
    return {**report, "outputs": {**outputs, **(model.listed() if model else {})}}


def _make_report(context: StageContext) -> dict[str, object]:
    """Make report.html in a child process; the run succeeds even where that fails."""
    print_line("making the report")
    arguments = {"folder": str(context.folder.attempt_path), "mount": str(context.stage_input.volume.mount)}
    scratch, around = str(context.scratch), context.stage_input.environ
    environ = {**context.environ, **for_children(around), **drawing_environment(around, scratch)}
    try:
        return context.supervisor.step("report", arguments, environ=environ, cwd=scratch)
    except StageError as error:
        if error.reason in FATAL_REASONS:
            raise
        print_error(f"warning: the run has no {REPORT_FILE}: {error.message}")
        (context.folder.path / REPORT_FILE).unlink(missing_ok=True)  # an earlier attempt's
        return {"report_sha256": None, "report_fault": error.message}


def report_sentence(metadata: Mapping[str, object]) -> str:
    """Return the note about a missing report for the end of the result's message."""
    return f" · without {REPORT_FILE}, see stderr.log" if metadata.get("report_fault") else ""


def headline(metrics: Metrics) -> str:
    """Return the main figures in one line."""
    parts = [
        ("IC", "ic", "{:.3f}"),
        ("Rank IC", "rankIc", "{:.3f}"),
        ("excess return", "annualizedReturn", "{:.1%}/yr"),
        ("IR", "informationRatio", "{:.2f}"),
        ("drawdown of summed excess", "maxDrawdown", "{:.1%}"),
    ]
    values = dict(metrics)
    return " · ".join(f"{name} {form.format(values[key])}" for name, key, form in parts if key in values)

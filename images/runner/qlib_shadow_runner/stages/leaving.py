"""The model that a run leaves in its folder for later runs, and what its metadata says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import MODEL
from qlib_shadow_runner.crash_points import ModelPoint, fault_point
from qlib_shadow_runner.printing import print_error
from qlib_shadow_runner.stages.keeping import earlier_choice, passes
from qlib_shadow_runner.stages.live import live_metadata
from qlib_shadow_runner.storage.removal import discard
from qlib_shadow_runner.training.checkpoints import Checkpoints, TrainingStep
from qlib_shadow_runner.training.model_folder import ModelFolder, copy_model, restored_details, write_model
from qlib_shadow_runner.training.trained import Trained, Unusable
from qlib_shadow_runner.workflow.parsed import class_of

if TYPE_CHECKING:
    from qlib_shadow_runner.stages.model_question import ModelQuestion
    from qlib_shadow_runner.training.reuse import IdenticalRun


def leave_model(
    question: ModelQuestion, computation: str, identical_run: IdenticalRun | None
) -> ModelFolder | None:
    """Return the model that this run leaves for later ones: what it trained, or the identical run had."""
    folder = question.context.folder.path
    try:
        left = _trained_now(question, computation) or _left_before(question)
        if left is None and identical_run is not None:
            of_other = ModelFolder.read(identical_run.folder)
            same = of_other is not None and of_other.text("recipe_sha256") == question.recipe.sha256
            left = copy_model(of_other, folder, question.staging) if of_other and same else None
    except (Unusable, OSError) as why:
        if passes(why):
            raise
        print_error(f"warning: the run leaves no {MODEL}/ for later runs: {why}")
        left = None
    if left is None:
        discard(folder / MODEL)
    fault_point(ModelPoint.LEFT)
    return left


def _left_before(question: ModelQuestion) -> ModelFolder | None:
    """Return what an earlier attempt has left of this configuration: trained or taken over by this run."""
    folder = question.context.folder.path
    own = ModelFolder.read_whole(folder)
    if own is None or own.text("config_hash") != question.research.config_hash:
        return None
    try:
        trained = Trained.read(folder)
    except Unusable:
        return None
    taken_over = trained is not None and trained.reused_from is not None
    return own if taken_over or own.trained_by == question.context.stage_input.identity.run_id else None


def _trained_now(question: ModelQuestion, computation: str) -> ModelFolder | None:
    """Return what the step of this computation has trained, if its checkpoint is still there."""
    folder = question.context.folder.path
    checkpoints = Checkpoints.of(folder, computation)
    trained = checkpoints.find(TrainingStep.MODEL)
    if trained is None:
        return None
    kind = class_of(question.research.workflow.model)
    texts, live = [trained.folder], None
    if question.live is not None:
        refitted = checkpoints.find(TrainingStep.LIVE)
        if refitted is None:
            return None
        texts.append(refitted.folder)
        details = restored_details(kind, refitted.details)
        live = {"trained_through": str(question.live.train[1]), "details": details}
    facts = question.facts(restored_details(kind, trained.details), live)
    return write_model(folder, texts, facts, question.staging)


def model_metadata(
    question: ModelQuestion, model: ModelFolder | None, kept: ModelFolder | None
) -> dict[str, object]:
    """Return the fields of RUN_METADATA.json that tell which model made the signals."""
    age = question.wanted(1).age(kept) if kept else 0
    return {
        "recipe_sha256": question.recipe.sha256,
        "model_kept": kept is not None,
        "model_trained_by": model.trained_by if model else None,
        "model_trained_through": model.document["trained_through"] if model else None,
        "model_data_end": model.document["data_end"] if model else None,
        "model_age_days": age if model else None,
        "model_dataset": model.document["dataset"] if model else None,
        "decay": (earlier_choice(question) or {}).get("decay"),
        "model_sha256": model.sha256() if model else None,
        **live_metadata(question.context.spec.workflow.live, question.live, model),
        "features_anchor": str(model.day("features_anchor") if kept and model else question.anchor),
    }

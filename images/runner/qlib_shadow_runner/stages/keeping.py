"""The model of a run: that of an earlier run of the same recipe where the spec allows it, else its own.

The first attempt writes down which model it keeps, and later attempts hold to it. Whatever cannot be kept is
named, and the run trains.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import MODEL, RESULTS, Reason
from qlib_shadow_runner.contract.spec.workflow import OrIf
from qlib_shadow_runner.crash_points import ModelPoint, fault_point
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_error, print_line
from qlib_shadow_runner.stages.alarms import decay_in_words, decay_of, has_decayed
from qlib_shadow_runner.storage.files import read_json_object, write_json
from qlib_shadow_runner.storage.removal import discard
from qlib_shadow_runner.training.keep import Found, Wanted, examine, find_model
from qlib_shadow_runner.training.model_folder import ModelFolder, copy_model
from qlib_shadow_runner.training.trained import Unusable

if TYPE_CHECKING:
    from qlib_shadow_runner.stages.model_question import ModelQuestion
    from qlib_shadow_runner.stages.outcome import StageContext

CHOICE_FILE: Final = "kept_model.json"
TRAINS: Final = "this run trains"
PASSING: Final = frozenset(
    {
        Reason.INTERRUPTED,
        Reason.SUPERSEDED,
        Reason.SHADOW_PROMISE_BROKEN,
        Reason.OUT_OF_DISK,
        Reason.VOLUME_NOT_WRITABLE,
    }
)
"""Reasons that have nothing to do with the model."""
PASSING_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE})


def passes(error: Exception) -> bool:
    """Say whether an error is of the volume or of this attempt, so that another one may do better."""
    if isinstance(error, StageError):
        return error.reason in PASSING
    return isinstance(error, OSError) and error.errno in PASSING_ERRORS


def keep_model(question: ModelQuestion) -> ModelFolder | None:
    """Return the model that this run keeps, in its own folder and checked, or None where it trains."""
    context = question.context
    retrain = context.spec.workflow.retrain
    if retrain is None:
        return None
    if lost := question.research.workflow.lost_processors:
        why = (
            f"no model can be kept: {' and '.join(lost)} of Qlib's own handler would be fitted to other days "
            f"than the model's; {TRAINS}"
        )
        print_line(why)
        context.folder.update_metadata(model_not_kept=why)
        return None
    wanted = question.wanted(retrain.every_days)
    choice = earlier_choice(question)
    if choice is None:
        found = find_model(context.folder.path, wanted)
        for note in found.notes:
            print_line(note)
        context.folder.update_metadata(model_not_kept=found.unexpected)
        choice = _chosen(question, found, retrain.or_if)
        write_choice(context, choice)
        fault_point(ModelPoint.CHOSEN)
    source = choice["from"]
    if not isinstance(source, str):
        print_line(f"no model of an earlier run is kept; {TRAINS}")
        return None
    try:
        kept = own_copy(question, wanted, source, choice["files"])
    except (Unusable, OSError, StageError) as why:
        if passes(why):
            raise
        _train_instead(question, f"the model of the run {source} cannot be kept: {why}; {TRAINS}")
        return None
    print_line(
        f"the model of the run {kept.trained_by} is kept: it has learnt from days to "
        f"{kept.day('trained_through')}, and {wanted.age(kept)} trading days have come since its data ended"
    )
    return kept


def _chosen(question: ModelQuestion, found: Found, or_if: OrIf | None) -> dict[str, object]:
    """Return the choice of a model with its decay, or of none where it has decayed and that is asked for."""
    if found.model is None or found.source is None:
        return choice_of(question, None, None)
    decay = decay_of(question.context, question.research.workflow.horizon, found.source, found.model, PASSING)
    if or_if is OrIf.DECAYED and has_decayed(decay):
        before = found.model.trained_by
        print_line(f"the model of the run {before} {decay_in_words(decay)}; {TRAINS}")
        return {**choice_of(question, None, None), "decay": {"gave_up": before}}
    return {**choice_of(question, found.source, found.model), "decay": decay}


def give_up_model(question: ModelQuestion, kept: ModelFolder) -> None:
    """Let the next attempt train: with the kept model this one has failed, for no reason that passes."""
    _train_instead(
        question, f"with the model of the run {kept.trained_by} this attempt failed; the next one trains"
    )


def _train_instead(question: ModelQuestion, why: str) -> None:
    """Remove the kept model first: a choice without it would leave it as the run's own."""
    print_error(f"warning: {why}")
    question.context.folder.update_metadata(model_not_kept=why)
    discard(question.context.folder.path / MODEL)
    write_choice(question.context, choice_of(question, None, None))


def own_copy(question: ModelQuestion, wanted: Wanted, source: str, files: object = None) -> ModelFolder:
    """Return the kept model in this run's folder: an earlier attempt's where it is whole, else copied now.

    `files` are the hashes that an earlier choice recorded, if there is one.
    """
    folder = question.context.folder.path
    own = ModelFolder.read_whole(folder)
    if own is None or files is None or own.pinned != files:
        found = examine(folder.parent / source, wanted)
        if files is not None and found.pinned != files:
            raise Unusable("it is another one now")
        own = copy_model(found, folder, question.staging)
    if fault := wanted.fault(own):
        raise Unusable(fault)
    if question.workflow_with(own) is None:
        raise Unusable("the template has the first day of its features in several places at once")
    _parse(question.context, own)
    fault_point(ModelPoint.COPIED)
    return own


def _parse(context: StageContext, kept: ModelFolder) -> None:
    """Read the texts in a child with limits, since another run wrote them."""
    arguments = {"folder": str(kept.folder), "files": kept.texts}
    context.supervisor.step("model", arguments, environ=context.environ, cwd=str(context.scratch))


def choice_of(question: ModelQuestion, source: str | None, model: ModelFolder | None) -> dict[str, object]:
    """Return what is written down of the model that a run keeps, or of none."""
    files = model.pinned if model else {}
    return {"recipe_sha256": question.recipe.sha256, "from": source, "files": files}


def earlier_choice(question: ModelQuestion) -> dict[str, object] | None:
    """Return what an earlier attempt chose for this recipe, or None."""
    choice = read_json_object(question.context.folder.path / RESULTS / CHOICE_FILE)
    if choice is None or choice.get("recipe_sha256") != question.recipe.sha256:
        return None
    return choice if {"from", "files"} <= choice.keys() else None


def write_choice(context: StageContext, choice: dict[str, object]) -> None:
    """Write down which model the run keeps, for later attempts."""
    write_json(context.folder.path / RESULTS / CHOICE_FILE, choice)

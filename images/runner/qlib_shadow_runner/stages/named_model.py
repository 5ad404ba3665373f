"""The model of a run that the manifest names: it predicts, or the run is refused; nothing is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import METADATA_FILE, Reason
from qlib_shadow_runner.contract.stages import is_trained
from qlib_shadow_runner.crash_points import ModelPoint, fault_point
from qlib_shadow_runner.errors import DamagedFileError, StageError
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.stages.alarms import decay_of
from qlib_shadow_runner.stages.keeping import PASSING, choice_of, earlier_choice, own_copy, write_choice
from qlib_shadow_runner.storage.untrusted import is_folder, read_object
from qlib_shadow_runner.training.model_folder import ModelFolder
from qlib_shadow_runner.training.trained import Unusable

if TYPE_CHECKING:
    from qlib_shadow_runner.stages.model_question import ModelQuestion


def use_named_model(question: ModelQuestion, source: str) -> ModelFolder:
    """Return the named run's model, in this run's own folder and checked, or refuse it."""
    # Its age does not matter, and other packages are told and not refused: a person has named it.
    wanted = replace(question.wanted(None), made_with={})
    choice = earlier_choice(question)
    held = choice["files"] if choice and choice["from"] == source else None
    try:
        _check(question, None if held else source)
        used = own_copy(question, wanted, source, held)
    except (Unusable, DamagedFileError, FileNotFoundError) as why:  # it may be removed meanwhile
        raise _refused(source, str(why)) from why
    except StageError as why:
        if why.reason is not Reason.OUTPUT_INCOMPLETE:  # what the child says of a text that is no model
            raise
        raise _refused(source, why.message) from why
    context, decay = question.context, (choice or {}).get("decay")
    if held is None:
        decay = decay_of(context, question.research.workflow.horizon, source, used, PASSING)
    write_choice(context, {**choice_of(question, source, used), "decay": decay})
    fault_point(ModelPoint.CHOSEN)
    print_line(
        f"the model of the run {used.trained_by} is used: it has learnt from days to "
        f"{used.day('trained_through')}, and {wanted.age(used)} trading days have come since its data ended"
    )
    return used


def _check(question: ModelQuestion, source: str | None) -> None:
    """Raise Unusable with what stands against the model, of which a copy may be here already."""
    if lost := question.research.workflow.lost_processors:
        raise Unusable(
            f"{' and '.join(lost)} of Qlib's own handler would be fitted to other days than its own"
        )
    if source is None:
        return
    runs = question.context.folder.path.parent
    if not is_folder(runs, source):
        raise Unusable("there is no such run on this volume")
    metadata = read_object(runs, f"{source}/{METADATA_FILE}")
    if not is_trained(metadata):
        status = metadata.get("status")
        raise Unusable(f"the run is {status}, and only one that has trained has a model to predict with")
    model = ModelFolder.read(runs / source)
    difference = question.recipe.difference(model.document.get("recipe")) if model else None
    if difference:
        raise Unusable(difference)


def _refused(source: str, why: str) -> StageError:
    return StageError(
        Reason.MODEL_REFUSED,
        f"spec.workflow.model.from is {source}, whose model cannot be used: {why}. "
        "Name another run, or leave from out so that this run trains.",
    )
